"""From versions to the answers behind them, and back. Free of torch."""
