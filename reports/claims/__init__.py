"""Published statements, decided from the records by a rule that is declared beforehand."""
