"""What goes wrong in BERTs: the one list that the diagnosis, the grading and the tests read."""
