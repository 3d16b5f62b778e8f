"""tools/bench: sluice and its peers measured side by side (docs/benchmarking.md)."""
