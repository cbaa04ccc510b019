"""What a mail says: pure readers that run in the cage, and the cage itself."""
