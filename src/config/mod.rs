//! From a properties file to a validated agent.
