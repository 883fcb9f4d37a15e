//! The tags that we read or write (1.4, 9.1.3.1; the last two from 2.0, 11).

use crate::codes::codes;

codes! {
    /// What an item means: a number of 24 bits.
    Tag, "tag" {
        ACTIVATION_DATE = 0x42_0001 "Activation Date";
        ATTRIBUTE = 0x42_0008 "Attribute";
        ATTRIBUTE_INDEX = 0x42_0009 "Attribute Index";
        ATTRIBUTE_NAME = 0x42_000a "Attribute Name";
        ATTRIBUTE_VALUE = 0x42_000b "Attribute Value";
        AUTHENTICATION = 0x42_000c "Authentication";
        BATCH_COUNT = 0x42_000d "Batch Count";
        BATCH_ITEM = 0x42_000f "Batch Item";
        COMPROMISE_DATE = 0x42_0020 "Compromise Date";
        COMPROMISE_OCCURRENCE_DATE = 0x42_0021 "Compromise Occurrence Date";
        CREDENTIAL = 0x42_0023 "Credential";
        CREDENTIAL_TYPE = 0x42_0024 "Credential Type";
        CREDENTIAL_VALUE = 0x42_0025 "Credential Value";
        CRYPTOGRAPHIC_ALGORITHM = 0x42_0028 "Cryptographic Algorithm";
        CRYPTOGRAPHIC_LENGTH = 0x42_002a "Cryptographic Length";
        CRYPTOGRAPHIC_USAGE_MASK = 0x42_002c "Cryptographic Usage Mask";
        INITIAL_DATE = 0x42_0039 "Initial Date";
        KEY = 0x42_003f "Key";
        KEY_BLOCK = 0x42_0040 "Key Block";
        KEY_FORMAT_TYPE = 0x42_0042 "Key Format Type";
        KEY_MATERIAL = 0x42_0043 "Key Material";
        KEY_VALUE = 0x42_0045 "Key Value";
        KEY_WRAPPING_DATA = 0x42_0046 "Key Wrapping Data";
        MAXIMUM_ITEMS = 0x42_004f "Maximum Items";
        NAME = 0x42_0053 "Name";
        NAME_TYPE = 0x42_0054 "Name Type";
        NAME_VALUE = 0x42_0055 "Name Value";
        OBJECT_TYPE = 0x42_0057 "Object Type";
        OPERATION = 0x42_005c "Operation";
        PROTOCOL_VERSION = 0x42_0069 "Protocol Version";
        PROTOCOL_VERSION_MAJOR = 0x42_006a "Protocol Version Major";
        PROTOCOL_VERSION_MINOR = 0x42_006b "Protocol Version Minor";
        QUERY_FUNCTION = 0x42_0074 "Query Function";
        REQUEST_HEADER = 0x42_0077 "Request Header";
        REQUEST_MESSAGE = 0x42_0078 "Request Message";
        REQUEST_PAYLOAD = 0x42_0079 "Request Payload";
        RESPONSE_HEADER = 0x42_007a "Response Header";
        RESPONSE_MESSAGE = 0x42_007b "Response Message";
        RESPONSE_PAYLOAD = 0x42_007c "Response Payload";
        RESULT_MESSAGE = 0x42_007d "Result Message";
        RESULT_REASON = 0x42_007e "Result Reason";
        RESULT_STATUS = 0x42_007f "Result Status";
        REVOCATION_REASON = 0x42_0081 "Revocation Reason";
        REVOCATION_REASON_CODE = 0x42_0082 "Revocation Reason Code";
        STATE = 0x42_008d "State";
        SYMMETRIC_KEY = 0x42_008f "Symmetric Key";
        TEMPLATE_ATTRIBUTE = 0x42_0091 "Template-Attribute";
        TIME_STAMP = 0x42_0092 "Time Stamp";
        UNIQUE_BATCH_ITEM_ID = 0x42_0093 "Unique Batch Item ID";
        UNIQUE_IDENTIFIER = 0x42_0094 "Unique Identifier";
        USERNAME = 0x42_0099 "Username";
        VENDOR_IDENTIFICATION = 0x42_009d "Vendor Identification";
        PASSWORD = 0x42_00a1 "Password";
        ATTRIBUTES = 0x42_0125 "Attributes";
        ATTRIBUTE_REFERENCE = 0x42_013b "Attribute Reference";
    }
}

impl Tag {
    /// The three bytes that stand in a message.
    pub(super) fn to_bytes(self) -> [u8; 3] {
        let [_, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    pub(super) fn from_bytes([high, middle, low]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, high, middle, low]))
    }
}
