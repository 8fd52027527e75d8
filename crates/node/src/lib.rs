//! The daemon: requests, ceremonies, REST
