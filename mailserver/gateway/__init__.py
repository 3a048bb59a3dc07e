"""What leaves for other operators and, as bare notices, for ordinary mail. The only importer of aiosmtplib."""
