"""Alert rules, held against what comes in; and what is told when they fire and clear."""
