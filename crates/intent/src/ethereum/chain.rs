//! Ethereum chains by number.

use alloy_primitives::{Address, U256, address};

use crate::summary::decimal;

/// What is certain about a chain.
struct Known {
    id: u64,
    name: &'static str,
    coin: &'static str,
    /// Whether gas limit times gas price bounds what a transaction costs. It does not where data are charged on top of gas
    /// (OP Stack, Scroll).
    gas_is_all: bool,
    /// The contract that wraps the chain's coin, one for one, and nothing else.
    wrapper: Option<Address>,
}

/// The wrapper that every OP Stack chain has from its genesis.
const OP_WETH: Address = address!("4200000000000000000000000000000000000006");

const KNOWN: [Known; 18] = [
    known(1, "mainnet", "ETH", true, Some(address!("C02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"))),
    known(11_155_111, "sepolia", "ETH", true, Some(address!("fFf9976782d46CC05630D1f6eBAb18b2324d6B14"))),
    known(17_000, "holesky", "ETH", true, None),
    known(560_048, "hoodi", "ETH", true, None),
    known(10, "optimism", "ETH", false, Some(OP_WETH)),
    known(8453, "base", "ETH", false, Some(OP_WETH)),
    known(42_161, "arbitrum", "ETH", true, Some(address!("82aF49447D8a07e3bd95BD0d56f35241523fBab1"))),
    known(137, "polygon", "POL", true, Some(address!("0d500B1d8E8eF31E21C99d1Db9A6444d3ADf1270"))),
    known(56, "bsc", "BNB", true, Some(address!("bb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c"))),
    known(100, "gnosis", "xDAI", true, None),
    known(43_114, "avalanche", "AVAX", true, None),
    known(59_144, "linea", "ETH", true, None),
    known(534_352, "scroll", "ETH", false, None),
    known(11_155_420, "optimism sepolia", "ETH", false, Some(OP_WETH)),
    known(84_532, "base sepolia", "ETH", false, Some(OP_WETH)),
    known(421_614, "arbitrum sepolia", "ETH", true, None),
    known(80_002, "polygon amoy", "POL", true, None),
    // Private chains for tests (anvil, hardhat).
    known(31_337, "chain 31337", "ETH", true, None),
];

const fn known(
    id: u64,
    name: &'static str,
    coin: &'static str,
    gas_is_all: bool,
    wrapper: Option<Address>,
) -> Known {
    Known { id, name, coin, gas_is_all, wrapper }
}

/// A chain as a transaction or a domain names it.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    id: U256,
    known: Option<&'static Known>,
}

impl Chain {
    pub(super) fn new(id: U256) -> Self {
        Self { id, known: KNOWN.iter().find(|chain| U256::from(chain.id) == id) }
    }

    /// The name of a well-known chain, else `chain <id>`.
    pub(super) fn name(self) -> String {
        self.known.map_or_else(|| format!("chain {}", self.id), |chain| chain.name.to_owned())
    }

    /// The name in [`crate::Facts`].
    pub(super) fn fact(self) -> String {
        format!("ethereum:{}", self.id)
    }

    /// `wei` of the chain's coin. Its name and number of places are certain on known chains; on the others they are by
    /// custom 18.
    pub(super) fn money(self, wei: U256) -> String {
        format!("{} {}", decimal(wei, 18), self.known.map_or("native coin", |chain| chain.coin))
    }

    /// Whether gas limit times gas price bounds the cost; `None` if that is not known.
    pub(super) fn gas_is_all(self) -> Option<bool> {
        self.known.map(|chain| chain.gas_is_all)
    }

    /// Whether `contract` does nothing but wrap the chain's coin.
    pub(super) fn is_wrapper(self, contract: Address) -> bool {
        self.known.is_some_and(|chain| chain.wrapper == Some(contract))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        let mut ids: Vec<u64> = KNOWN.iter().map(|chain| chain.id).collect();
        let mut names: Vec<&str> = KNOWN.iter().map(|chain| chain.name).collect();
        ids.sort_unstable();
        ids.dedup();
        names.sort_unstable();
        names.dedup();
        assert_eq!((ids.len(), names.len()), (18, 18));
    }

    /// The checksums of EIP-55 would notice a mistyped digit.
    #[test]
    fn wrappers_carry_their_published_checksums() {
        let published = [
            (1, "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"),
            (11_155_111, "0xfFf9976782d46CC05630D1f6eBAb18b2324d6B14"),
            (42_161, "0x82aF49447D8a07e3bd95BD0d56f35241523fBab1"),
            (137, "0x0d500B1d8E8eF31E21C99d1Db9A6444d3ADf1270"),
            (56, "0xbb4CdB9CBd36B01bD1cBaEBF2De08d9173bc095c"),
        ];
        let mut checked = 0;
        for (id, text) in published {
            let address = Address::parse_checksummed(text, None).unwrap();
            assert!(Chain::new(U256::from(id)).is_wrapper(address), "{id}");
            checked += 1;
        }
        assert_eq!(checked, 5);
        assert!(!Chain::new(U256::from(17_000)).is_wrapper(Address::ZERO));
    }
}
