"""What is done with whole volumes, section by section, so that none of them is ever whole in memory."""
