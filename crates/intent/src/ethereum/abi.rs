//! Calls whose meaning is a standard of its own, in their one canonical encoding.

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, U256, keccak256};

/// The methods that are read, by canonical signature. The first four bytes of its Keccak-256 select one.
pub(super) const METHODS: [&str; 12] = [
    "transfer(address,uint256)",
    "transferFrom(address,address,uint256)",
    "approve(address,uint256)",
    "increaseAllowance(address,uint256)",
    "decreaseAllowance(address,uint256)",
    "safeTransferFrom(address,address,uint256)",
    "safeTransferFrom(address,address,uint256,bytes)",
    "setApprovalForAll(address,bool)",
    "safeTransferFrom(address,address,uint256,uint256,bytes)",
    "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
    "deposit()",
    "withdraw(uint256)",
];

/// A call that was read.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) signature: &'static str,
    pub(super) does: Does,
}

/// What a method is defined to do.
#[derive(Debug, PartialEq)]
pub(super) enum Does {
    /// ERC-20 `transfer`.
    Transfer {
        to: Address,
        amount: U256,
    },
    /// `transferFrom`: an amount (ERC-20) or one token by number (ERC-721); the bytes do not tell which.
    TransferFrom {
        from: Address,
        to: Address,
        number: U256,
    },
    /// `approve`, ambiguous in the same way.
    Approve {
        spender: Address,
        number: U256,
    },
    IncreaseAllowance {
        spender: Address,
        amount: U256,
    },
    DecreaseAllowance {
        spender: Address,
        amount: U256,
    },
    /// ERC-721 and ERC-1155: numbered tokens and how many of each. `data` counts bytes handed to the receiver.
    MoveNumbered {
        from: Address,
        to: Address,
        tokens: Vec<(U256, U256)>,
        data: usize,
    },
    ApproveAll {
        operator: Address,
        approved: bool,
    },
    Deposit,
    Withdraw {
        amount: U256,
    },
}

/// Reads call data that are exactly a known method's selector and the canonical encoding of its arguments. Dirty
/// padding, unusual offsets and trailing bytes are other encodings: contracts differ in how they read them.
pub(super) fn read(data: &[u8]) -> Option<Method> {
    let (selector, arguments) = data.split_first_chunk::<4>()?;
    let signature = METHODS
        .into_iter()
        .find(|method| keccak256(method.as_bytes()).get(..4) == Some(selector.as_slice()))?;
    let (name, types) = signature.split_at_checked(signature.find('(')?)?;
    let values = if types == "()" {
        if !arguments.is_empty() {
            return None;
        }
        Vec::new()
    } else {
        let kind = DynSolType::parse(types).ok()?;
        let value = kind.abi_decode_params(arguments).ok()?;
        if value.abi_encode_params() != arguments {
            return None;
        }
        let DynSolValue::Tuple(values) = value else { return None };
        values
    };
    Some(Method { signature, does: meaning(name, &values)? })
}

fn meaning(name: &str, values: &[DynSolValue]) -> Option<Does> {
    let address = |index: usize| values.get(index).and_then(DynSolValue::as_address);
    let number = |index: usize| values.get(index).and_then(DynSolValue::as_uint).map(|(value, _)| value);
    let bytes = |index: usize| values.get(index).and_then(DynSolValue::as_bytes).map(<[u8]>::len);
    Some(match (name, values.len()) {
        ("transfer", 2) => Does::Transfer { to: address(0)?, amount: number(1)? },
        ("transferFrom", 3) => Does::TransferFrom { from: address(0)?, to: address(1)?, number: number(2)? },
        ("approve", 2) => Does::Approve { spender: address(0)?, number: number(1)? },
        ("increaseAllowance", 2) => Does::IncreaseAllowance { spender: address(0)?, amount: number(1)? },
        ("decreaseAllowance", 2) => Does::DecreaseAllowance { spender: address(0)?, amount: number(1)? },
        ("safeTransferFrom", 3 | 4) => Does::MoveNumbered {
            from: address(0)?,
            to: address(1)?,
            tokens: vec![(number(2)?, U256::ONE)],
            data: if values.len() == 4 { bytes(3)? } else { 0 },
        },
        ("safeTransferFrom", 5) => Does::MoveNumbered {
            from: address(0)?,
            to: address(1)?,
            tokens: vec![(number(2)?, number(3)?)],
            data: bytes(4)?,
        },
        ("safeBatchTransferFrom", 5) => {
            let list = |index: usize| {
                let list = values.get(index)?.as_array()?;
                list.iter()
                    .map(|value| value.as_uint().map(|(value, _)| value))
                    .collect::<Option<Vec<U256>>>()
            };
            let (ids, amounts) = (list(2)?, list(3)?);
            if ids.len() != amounts.len() {
                return None;
            }
            Does::MoveNumbered {
                from: address(0)?,
                to: address(1)?,
                tokens: ids.into_iter().zip(amounts).collect(),
                data: bytes(4)?,
            }
        }
        ("setApprovalForAll", 2) => {
            Does::ApproveAll { operator: address(0)?, approved: values.get(1)?.as_bool()? }
        }
        ("deposit", 0) => Does::Deposit,
        ("withdraw", 1) => Does::Withdraw { amount: number(0)? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selectors as the standards and explorers print them, so that a mistyped signature is noticed.
    #[test]
    fn signatures_have_their_published_selectors() {
        let published = [
            "a9059cbb", "23b872dd", "095ea7b3", "39509351", "a457c2d7", "42842e0e", "b88d4fde", "a22cb465",
            "f242432a", "2eb2c2d6", "d0e30db0", "2e1a7d4d",
        ];
        let derived = METHODS.map(|method| hex::encode(&keccak256(method.as_bytes())[..4]));
        assert_eq!(derived, published);
    }
}
