"""Reading logs, by bytes and by lines, without ever holding up who writes."""
