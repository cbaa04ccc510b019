"""What keeps the store honest and recoverable: seals, the start mark, copies; and what is kept outside the database."""
