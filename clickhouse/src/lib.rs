//! Tables, migrations, row encoding and the insert client.
