//! What an application links to take seats from a Seatkeeper server.
