//! The little of TPM 2.0 that a root seal needs: seal 32 bytes under the storage hierarchy, and unseal them.
//!
//! Seven commands, as bytes (TPM 2.0 Library, parts 1 to 3). Our own, because the TSS libraries would have to be installed
//! wherever the server runs, bring cryptography of their own, and free what they unsealed without wiping it.
//!
//! The storage root key is a primary key of P-256, made from the template that the TCG's provisioning guidance gives. The TPM
//! derives the same key from its seed each time, so nothing is kept in it. Secrets cross the wire encrypted, in a session
//! whose key only this storage root key can learn; whoever listens between us and the TPM sees nothing.

mod address;
mod connection;
mod object;
mod session;
mod wire;

use std::{io, thread, time::Duration};

use cadenas_secret::{SecretBytes, ecdh};

pub use address::{BadTpmAddress, TpmAddress};
use connection::Connection;
use object::Entity;
pub(super) use object::SealedObject;
use session::{Answer, Begun, Call, Gives, Parameters, Session};
use wire::{Malformed, Reader, Writer};

const OWNER_HIERARCHY: u32 = 0x4000_0001;
const NULL_HANDLE: u32 = 0x4000_0007;
const PASSWORD_SESSION: u32 = 0x4000_0009;
/// How often a command is sent again to a TPM that is busy.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A TPM did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// There is no TPM at the address, or it does not answer.
    #[error("the TPM at {address} cannot be reached; `--tpm` says where it is")]
    Unreachable {
        /// Where it was looked for.
        address: TpmAddress,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It answered with an error.
    #[error("the TPM at {address} refused to {operation} (code {code:#05x}); `tpm2_rc_decode` explains the code")]
    Refused {
        /// Which TPM.
        address: TpmAddress,
        /// What it was to do.
        operation: &'static str,
        /// `TPM_RC`, as part 2 of the specification lists them.
        code: u32,
    },
    /// Its storage hierarchy has a password.
    #[error(
        "the storage hierarchy of the TPM at {address} has a password; take it away with `tpm2_changeauth -c owner -p OLD`"
    )]
    OwnerPassword {
        /// Which TPM.
        address: TpmAddress,
    },
    /// The answer is not as the specification has it.
    #[error("the TPM at {address} answered nonsense when it was to {operation}; look whether it is a TPM 2.0")]
    Malformed {
        /// Which TPM.
        address: TpmAddress,
        /// What it was to do.
        operation: &'static str,
    },
    /// The answer does not come from the TPM that the session was made with.
    #[error(
        "the answer of the TPM at {address} was changed on its way, when it was to {operation}; look for a device between"
    )]
    NotAuthentic {
        /// Which TPM.
        address: TpmAddress,
        /// What it was to do.
        operation: &'static str,
    },
}

/// A connection to a TPM. What was loaded into the TPM goes with this value.
pub(super) struct Tpm {
    address: TpmAddress,
    connection: Connection,
    loaded: Vec<u32>,
}

/// The storage root key, while it is loaded.
pub(super) struct StorageRoot {
    entity: Entity,
    point: ecdh::P256Point,
}

impl StorageRoot {
    /// The hash of its public part: another TPM, or one that was cleared, has another.
    pub(super) fn name(&self) -> &[u8] {
        &self.entity.name
    }
}

impl Tpm {
    /// Opens the connection.
    pub(super) fn open(address: &TpmAddress) -> Result<Self, TpmError> {
        let connection =
            Connection::open(address).map_err(|source| TpmError::Unreachable { address: address.clone(), source })?;
        Ok(Self { address: address.clone(), connection, loaded: vec![] })
    }

    /// Has the TPM derive its storage root key (`TPM2_CreatePrimary`).
    pub(super) fn storage_root(&mut self) -> Result<StorageRoot, TpmError> {
        let operation = Operation::CREATE_PRIMARY;
        let mut command = Writer::default();
        command.u32(OWNER_HIERARCHY).sized_area(|area| {
            area.u32(PASSWORD_SESSION).sized(&[]).u8(0).sized(&[]);
        });
        // No password and no data of ours for it; no data from outside, no PCRs.
        command.sized(&[0, 0, 0, 0]).sized(&object::primary_template()).sized(&[]).u32(0);
        let answer = self.send(operation, true, &command.done())?;
        let (handle, public) = self.parsed(operation, primary(&answer))?;
        self.loaded.push(handle);
        let point = self.parsed(operation, object::primary_point(public))?;
        Ok(StorageRoot { entity: Entity::of(handle, public), point })
    }

    /// Seals under the storage root key (`TPM2_Create`).
    pub(super) fn seal(&mut self, root: &StorageRoot, secret: &SecretBytes) -> Result<SealedObject, TpmError> {
        let operation = Operation::CREATE;
        let mut session = self.start_session(root)?;
        let mut rest = Writer::default();
        rest.sized(&object::SEALED).sized(&[]).u32(0);
        let rest = rest.done();
        let parameters = Parameters::Secret(object::sensitive(secret), &rest);
        let call = session.call(operation.code, &root.entity, parameters, Gives::Parameters);
        let bytes = self.send(operation, true, &call.body)?;
        let answer = self.accepted(operation, &mut session, &call, &bytes)?;
        self.parsed(operation, SealedObject::created(answer.parameters))
    }

    /// Unseals what [`Self::seal`] made (`TPM2_Load`, `TPM2_Unseal`).
    pub(super) fn unseal(&mut self, root: &StorageRoot, object: &SealedObject) -> Result<SecretBytes, TpmError> {
        let mut session = self.start_session(root)?;
        let object = self.load(&mut session, root, object)?;
        let operation = Operation::UNSEAL;
        let call = session.call(operation.code, &object, Parameters::Plain(&[]), Gives::Secret);
        let bytes = self.send(operation, true, &call.body)?;
        let answer = self.accepted(operation, &mut session, &call, &bytes)?;
        self.parsed(operation, session.secret(&call, &answer))
    }

    fn load(&mut self, session: &mut Session, root: &StorageRoot, object: &SealedObject) -> Result<Entity, TpmError> {
        let operation = Operation::LOAD;
        let mut parts = Writer::default();
        parts.sized(&object.private).sized(&object.public);
        let parts = parts.done();
        let call = session.call(operation.code, &root.entity, Parameters::Plain(&parts), Gives::Handle);
        let bytes = self.send(operation, true, &call.body)?;
        let answer = self.accepted(operation, session, &call, &bytes)?;
        let handle = self.parsed(operation, Reader::new(answer.handle).u32())?;
        self.loaded.push(handle);
        Ok(Entity::of(handle, &object.public))
    }

    /// A session whose key the storage root key alone can learn: `TPM2_StartAuthSession`, salted, not bound.
    fn start_session(&mut self, root: &StorageRoot) -> Result<Session, TpmError> {
        let operation = Operation::START_SESSION;
        let ours = self.parsed(operation, Begun::with(&root.point).map_err(|_| Malformed))?;
        let mut command = Writer::default();
        command.u32(root.entity.handle).u32(NULL_HANDLE).bytes(&ours.parameters());
        let bytes = self.send(operation, false, &command.done())?;
        let mut answer = Reader::new(&bytes);
        let handle = self.parsed(operation, answer.u32())?;
        self.loaded.push(handle);
        let nonce = self.parsed(operation, answer.sized())?;
        Ok(ours.answered(handle, nonce))
    }

    /// The answer to `call`, once it proved to come from the session's other end.
    fn accepted<'a>(
        &self,
        operation: Operation,
        session: &mut Session,
        call: &Call,
        bytes: &'a [u8],
    ) -> Result<Answer<'a>, TpmError> {
        let answer = self.parsed(operation, Answer::of(call, bytes))?;
        if session.accepts(call, &answer) {
            return Ok(answer);
        }
        Err(TpmError::NotAuthentic { address: self.address.clone(), operation: operation.words })
    }

    /// Sends a command until the TPM is not busy; what follows the answer's header.
    fn send(&mut self, operation: Operation, sessions: bool, body: &[u8]) -> Result<Vec<u8>, TpmError> {
        let command = wire::command(sessions, operation.code, body);
        for _ in 0..TRIES {
            let answer = self.connection.exchange(&command);
            let answer = answer.map_err(|source| TpmError::Unreachable { address: self.address.clone(), source })?;
            let (code, body) = self.parsed(operation, wire::answer(&answer))?;
            match code {
                wire::SUCCESS => return Ok(body.to_vec()),
                wire::RETRY | wire::YIELDED | wire::TESTING => thread::sleep(PAUSE),
                code => return Err(self.refused(operation, code)),
            }
        }
        Err(self.refused(operation, wire::RETRY))
    }

    fn refused(&self, operation: Operation, code: u32) -> TpmError {
        let address = self.address.clone();
        if operation.code == Operation::CREATE_PRIMARY.code && wire::is_bad_authorisation(code) {
            return TpmError::OwnerPassword { address };
        }
        TpmError::Refused { address, operation: operation.words, code }
    }

    fn parsed<T>(&self, operation: Operation, parsed: Result<T, Malformed>) -> Result<T, TpmError> {
        parsed.map_err(|Malformed| TpmError::Malformed { address: self.address.clone(), operation: operation.words })
    }
}

/// A TPM without a resource manager has room for three objects, and keeps them until it is reset.
impl Drop for Tpm {
    fn drop(&mut self) {
        for handle in std::mem::take(&mut self.loaded).into_iter().rev() {
            // Nobody is left to tell; a resource manager does the same when the connection ends.
            let _ = self.send(Operation::FLUSH, false, &handle.to_be_bytes());
        }
    }
}

/// A command, and what it does in words that fit "refused to …".
#[derive(Clone, Copy)]
struct Operation {
    code: u32,
    words: &'static str,
}

impl Operation {
    const CREATE_PRIMARY: Self = Self { code: 0x131, words: "derive its storage root key" };
    const CREATE: Self = Self { code: 0x153, words: "seal the root key" };
    const LOAD: Self = Self { code: 0x157, words: "load the sealed root key" };
    const UNSEAL: Self = Self { code: 0x15e, words: "unseal the root key" };
    const FLUSH: Self = Self { code: 0x165, words: "forget what was loaded" };
    const START_SESSION: Self = Self { code: 0x176, words: "start a session" };
}

/// Handle and public part from the answer to `TPM2_CreatePrimary`.
fn primary(answer: &[u8]) -> Result<(u32, &[u8]), Malformed> {
    let mut answer = Reader::new(answer);
    let handle = answer.u32()?;
    let _parameters_size = answer.u32()?;
    Ok((handle, answer.sized()?))
}
