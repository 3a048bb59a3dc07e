#!/usr/bin/env bash
# bench/peer.sh start|stop FOLDER [BASE_PORT] [USERS]: Postfix + Dovecot with mail_crypt, on 127.0.0.1 only.
# Ports: BASE_PORT+25 SMTP (STARTTLS offered), +24 LMTP (unused), +143 IMAP, +993 IMAPS. Accounts u0000@example.test …
# and b10k@example.test, all with the password "secret". Needs root (Postfix and Dovecot change users); the processes'
# ids are in FOLDER/dovecot/run/master.pid and FOLDER/postfix/spool/pid/master.pid.
set -euo pipefail

act=${1:?start or stop} folder=${2:?folder} base=${3:-23000} users=${4:-100}
curve=${CRYPT:-secp521r1} # of mail_crypt; "none" stores mail in clear
owner=mail                # a system account of every Debian: owns the mailboxes
dovecot=$folder/dovecot postfix=$folder/postfix mail=$folder/mail

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
}

names() {
    seq -f 'u%04g' 0 $((users - 1))
    echo b10k
}

write_dovecot() {
    local uid gid plugins='' password=''
    uid=$(id -u "$owner") gid=$(id -g "$owner")
    if [ "$curve" != none ]; then
        plugins=mail_crypt password='userdb_mail_crypt_private_password=%w'
    fi
    mkdir -p "$dovecot/run" "$mail"
    chown "$owner:$owner" "$mail"
    names | sed 's/$/@example.test:{PLAIN}secret::::::/' >"$dovecot/users"
    cat >"$dovecot/dovecot.conf" <<CONF
base_dir = $dovecot/run
state_dir = $dovecot/run
log_path = $dovecot/log
listen = 127.0.0.1
protocols = imap lmtp
ssl = yes
ssl_cert = <$folder/cert.pem
ssl_key = <$folder/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_uid = $uid
mail_gid = $gid
first_valid_uid = 1
first_valid_gid = 1
mail_fsync = optimized
mail_plugins = $plugins
mail_location = mdbox:~/mdbox
mail_attribute_dict = file:%h/dovecot-attributes
mail_max_userip_connections = 4000
default_client_limit = 4000
default_process_limit = 500
default_vsz_limit = 1G
namespace inbox {
  inbox = yes
  separator = /
}
passdb {
  driver = passwd-file
  args = $dovecot/users
  override_fields = userdb_uid=$uid userdb_gid=$gid userdb_home=$mail/%n $password
}
userdb {
  driver = prefetch
}
userdb {
  driver = passwd-file
  args = $dovecot/users
  override_fields = uid=$uid gid=$gid home=$mail/%n
}
service auth {
  unix_listener auth-postfix {
    mode = 0666
  }
}
service lmtp {
  unix_listener lmtp-postfix {
    mode = 0666
  }
  process_min_avail = 2
}
# Login and IMAP processes are kept and used again: faster here than Dovecot's defaults.
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = $((base + 143))
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = $((base + 993))
  }
  client_limit = 4000
  service_count = 0
  process_min_avail = 2
}
service imap {
  service_count = 256
  process_min_avail = 4
}
CONF
    [ "$curve" = none ] || cat >>"$dovecot/dovecot.conf" <<CONF
plugin {
  mail_crypt_curve = $curve
  mail_crypt_save_version = 2
  mail_crypt_require_encrypted_user_key = yes
}
CONF
}

write_postfix() {
    mkdir -p "$postfix/etc" "$postfix/spool" "$postfix/data"
    chown root:root "$postfix/spool"
    chown postfix "$postfix/data"
    names | sed 's/$/@example.test x/' >"$postfix/etc/mailboxes"
    cat >"$postfix/etc/main.cf" <<CONF
compatibility_level = 3.6
queue_directory = $postfix/spool
data_directory = $postfix/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
multi_instance_enable = yes
multi_instance_name = postfix-bench
virtual_mailbox_domains = example.test
virtual_mailbox_maps = hash:$postfix/etc/mailboxes
virtual_transport = lmtp:unix:$dovecot/run/lmtp-postfix
message_size_limit = 52428800
# The default of one second slows a burst on purpose.
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
lmtp_destination_concurrency_limit = 20
# With several recipients in one transaction Dovecot's LMTP held copies back for minutes.
lmtp_destination_recipient_limit = 1
smtpd_tls_chain_files = $folder/key.pem, $folder/cert.pem
smtpd_tls_security_level = may
smtpd_tls_loglevel = 0
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = $dovecot/run/auth-postfix
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
maillog_file = $postfix/log
maillog_file_prefixes = $folder, /var
alias_maps =
local_recipient_maps =
CONF
    cat >"$postfix/etc/master.cf" <<CONF
127.0.0.1:$((base + 25)) inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
CONF
    postmap -c "$postfix/etc" "hash:$postfix/etc/mailboxes"
}

start() {
    mkdir -p "$folder"
    chmod 755 "$folder"
    make_certificate
    write_dovecot
    write_postfix
    : >"$dovecot/log"
    : >"$postfix/log"
    dovecot -c "$dovecot/dovecot.conf" </dev/null >>"$dovecot/start.log" 2>&1
    if [ "$curve" != none ]; then
        doveadm -f tab -c "$dovecot/dovecot.conf" -o plugin/mail_crypt_private_password=secret \
            mailbox cryptokey generate -U -A >"$dovecot/keys.log" 2>&1
    fi
    postfix -c "$postfix/etc" start </dev/null >>"$postfix/start.log" 2>&1
}

# Each master ends its own processes; the pid file goes when the master does.
stop() {
    local pid file tries=0
    for file in "$postfix/spool/pid/master.pid" "$dovecot/run/master.pid"; do
        [ -f "$file" ] || continue
        pid=$(tr -d ' \n' <"$file")
        kill "$pid" 2>/dev/null || continue
        while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do
            tries=$((tries + 1))
            sleep 0.1
        done
    done
}

case $act in
start) start ;;
stop) stop ;;
*)
    echo "usage: bench/peer.sh start|stop FOLDER [BASE_PORT] [USERS]" >&2
    exit 2
    ;;
esac
