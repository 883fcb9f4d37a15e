//! The numbers of the specification, as tables: each line is a name, its number, and the specification's own words.
//!
//! *KMIP Specification 1.4*, section 9.1.3 (tags and enumerations); what came with 2.0 is from *2.0*, section 11.

/// An open set of numbers: those that we know have names, any other is kept as it is.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($constant:ident = $code:literal $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u32);

        impl $name {
            $(#[doc = $text] pub const $constant: Self = Self($code);)*

            /// The number.
            #[must_use]
            pub const fn code(self) -> u32 {
                self.0
            }

            /// The specification's words for it, if it is known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!($what, " {:#x}"), self.0),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

/// A closed set of numbers: any other is refused.
macro_rules! closed_codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$more:meta])* $variant:ident = $code:literal $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!($text, ".")] $(#[$more])* $variant,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            /// What has this number.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The specification's words for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use {closed_codes, codes};

codes! {
    /// Why a server did not do what was asked (1.4, 9.1.3.2.29; 2.0, 11).
    ResultReason, "reason" {
        ITEM_NOT_FOUND = 0x01 "Item Not Found";
        RESPONSE_TOO_LARGE = 0x02 "Response Too Large";
        AUTHENTICATION_NOT_SUCCESSFUL = 0x03 "Authentication Not Successful";
        INVALID_MESSAGE = 0x04 "Invalid Message";
        OPERATION_NOT_SUPPORTED = 0x05 "Operation Not Supported";
        MISSING_DATA = 0x06 "Missing Data";
        INVALID_FIELD = 0x07 "Invalid Field";
        FEATURE_NOT_SUPPORTED = 0x08 "Feature Not Supported";
        OPERATION_CANCELED_BY_REQUESTER = 0x09 "Operation Canceled By Requester";
        CRYPTOGRAPHIC_FAILURE = 0x0a "Cryptographic Failure";
        ILLEGAL_OPERATION = 0x0b "Illegal Operation";
        PERMISSION_DENIED = 0x0c "Permission Denied";
        OBJECT_ARCHIVED = 0x0d "Object Archived";
        INDEX_OUT_OF_BOUNDS = 0x0e "Index Out of Bounds";
        APPLICATION_NAMESPACE_NOT_SUPPORTED = 0x0f "Application Namespace Not Supported";
        KEY_FORMAT_TYPE_NOT_SUPPORTED = 0x10 "Key Format Type Not Supported";
        KEY_COMPRESSION_TYPE_NOT_SUPPORTED = 0x11 "Key Compression Type Not Supported";
        ENCODING_OPTION_ERROR = 0x12 "Encoding Option Error";
        KEY_VALUE_NOT_PRESENT = 0x13 "Key Value Not Present";
        ATTESTATION_REQUIRED = 0x14 "Attestation Required";
        ATTESTATION_FAILED = 0x15 "Attestation Failed";
        SENSITIVE = 0x16 "Sensitive";
        NOT_EXTRACTABLE = 0x17 "Not Extractable";
        OBJECT_ALREADY_EXISTS = 0x18 "Object Already Exists";
        USAGE_LIMIT_EXCEEDED = 0x1a "Usage Limit Exceeded";
        READ_ONLY_ATTRIBUTE = 0x1d "Read Only Attribute";
        UNSUPPORTED_ATTRIBUTE = 0x1f "Unsupported Attribute";
        ATTRIBUTE_READ_ONLY = 0x22 "Attribute Read Only";
        CODEC_ERROR = 0x26 "Codec Error";
        INTERNAL_SERVER_ERROR = 0x2a "Internal Server Error";
        INVALID_ATTRIBUTE = 0x2c "Invalid Attribute";
        INVALID_ATTRIBUTE_VALUE = 0x2d "Invalid Attribute Value";
        INVALID_OBJECT_TYPE = 0x30 "Invalid Object Type";
        NON_UNIQUE_NAME_ATTRIBUTE = 0x35 "Non Unique Name Attribute";
        OBJECT_DESTROYED = 0x36 "Object Destroyed";
        OBJECT_NOT_FOUND = 0x37 "Object Not Found";
        NOT_AUTHORISED = 0x39 "Not Authorised";
        SERVER_LIMIT_EXCEEDED = 0x3a "Server Limit Exceeded";
        UNKNOWN_ENUMERATION = 0x3b "Unknown Enumeration";
        UNKNOWN_TAG = 0x3d "Unknown Tag";
        UNSUPPORTED_PROTOCOL_VERSION = 0x3f "Unsupported Protocol Version";
        WRONG_KEY_LIFECYCLE_STATE = 0x43 "Wrong Key Lifecycle State";
        PROTECTION_STORAGE_UNAVAILABLE = 0x44 "Protection Storage Unavailable";
        GENERAL_FAILURE = 0x100 "General Failure";
    }
}

codes! {
    /// What a key is for (1.4, 9.1.3.2.13).
    CryptographicAlgorithm, "algorithm" {
        DES = 0x01 "DES";
        TRIPLE_DES = 0x02 "3DES";
        AES = 0x03 "AES";
        RSA = 0x04 "RSA";
        HMAC_SHA256 = 0x09 "HMAC-SHA256";
    }
}

codes! {
    /// What an object is (1.4, 9.1.3.2.12).
    ObjectType, "object type" {
        CERTIFICATE = 0x01 "Certificate";
        SYMMETRIC_KEY = 0x02 "Symmetric Key";
        PUBLIC_KEY = 0x03 "Public Key";
        PRIVATE_KEY = 0x04 "Private Key";
        SPLIT_KEY = 0x05 "Split Key";
        TEMPLATE = 0x06 "Template";
        SECRET_DATA = 0x07 "Secret Data";
        OPAQUE_OBJECT = 0x08 "Opaque Object";
    }
}

codes! {
    /// How key material is written (1.4, 9.1.3.2.3).
    KeyFormatType, "key format" {
        RAW = 0x01 "Raw";
        OPAQUE = 0x02 "Opaque";
        PKCS_1 = 0x03 "PKCS#1";
        PKCS_8 = 0x04 "PKCS#8";
        TRANSPARENT_SYMMETRIC_KEY = 0x07 "Transparent Symmetric Key";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_name_is_shown_as_it_is() {
        assert_eq!(ResultReason::PERMISSION_DENIED.to_string(), "Permission Denied");
        assert_eq!(ResultReason(0x8000_0001).to_string(), "reason 0x80000001");
        assert_eq!(ResultReason(0x8000_0001).name(), None);
    }
}
