//! The sample ERP in a PostgreSQL database.
