"""SyncNet (Chung & Zisserman, ACCV-W 2016): how far lips and voice are apart for a network that learned it."""
