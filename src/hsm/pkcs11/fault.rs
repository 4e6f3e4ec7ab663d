//! What a module answered, in the words of the specification.

use cryptoki::error::{Error, RvError};

use crate::hsm::token::TokenError;

/// A failed call. `function` is used where the error itself does not know it.
pub(super) fn call(function: &str, refused: &Error) -> TokenError {
    match refused {
        Error::Pkcs11(code, called) => {
            TokenError::Call { function: format!("C_{called:?}"), code: code_name(*code) }
        }
        other => TokenError::Call { function: function.to_owned(), code: other.to_string() },
    }
}

/// `CKR_PIN_INCORRECT` for `PinIncorrect`: what operators search for.
pub(super) fn code_name(code: RvError) -> String {
    if let RvError::VendorDefined(number) = code {
        return format!("CKR_VENDOR_DEFINED ({number:#x})");
    }
    let mut name = String::from("CKR");
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_as_the_specification_writes_them() {
        for (code, name) in [
            (RvError::PinIncorrect, "CKR_PIN_INCORRECT"),
            (RvError::DeviceError, "CKR_DEVICE_ERROR"),
            (RvError::SessionHandleInvalid, "CKR_SESSION_HANDLE_INVALID"),
            (RvError::VendorDefined(0x8000_0001), "CKR_VENDOR_DEFINED (0x80000001)"),
        ] {
            assert_eq!(code_name(code), name);
        }
    }
}
