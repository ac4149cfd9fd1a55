"""What unit tests share: threads that always end, TCP peers that do what a test says, certificates, messages."""
