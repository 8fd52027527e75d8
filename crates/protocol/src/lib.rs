//! Sessions, rounds, messages, transcripts, wire codec, blame, parties, access structures and curves
