"""What annotators see of their own work: what there is to do, pace, history, keys and goals."""
