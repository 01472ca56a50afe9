//! Everything of Seatkeeper that touches the world: sockets, files, clock, command line.
