"""Results of runs for pages and terminals: tables, sentences and charts. No torch."""
