"""The only SQL of Pli: tables with their column classes, repositories, the writer, blobs and the change feed."""
