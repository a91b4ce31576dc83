"""What benchmarks and the comparison share: contenders in processes of their own."""
