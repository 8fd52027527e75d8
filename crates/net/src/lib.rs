//! Authenticated channels between nodes, and the driver that runs sessions over them
