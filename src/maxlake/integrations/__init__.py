"""Tables as other engines scan them: only the columns and rows that a query needs are sent."""
