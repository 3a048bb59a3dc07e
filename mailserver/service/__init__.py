"""Use cases: policy, store and log joined in one transaction. Edges call these; these call the store."""
