"""What an evaluation leaves: pages, tables and figures made from its outcome."""
