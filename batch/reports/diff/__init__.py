"""Which predictions two versions differ in, by how much, and why."""
