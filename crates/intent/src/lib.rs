//! What a request asks to sign: transactions, messages, their digests, addresses and summaries
