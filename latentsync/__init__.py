"""Lip-sync any video to any voice: segment by segment, in constant memory."""
