"""What people read: terminal tables and the HTML page."""
