//! Event schemas, topics and the registry that compiles them.
