"""What a group lead reads: figures of a period, charts, HTML files, invoices."""
