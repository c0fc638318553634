//! What somebody who is logged in may do with their own sessions.

use std::sync::Arc;

use super::super::audit::EndReason;
use super::super::credential::Credential;
use super::super::{SessionId, SessionToken, Spared, StoreError};
use super::{SessionManager, told};

/// Why none of the caller's own sessions were ended.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// What was presented is no live session of one user.
    #[error("not logged in")]
    NotLoggedIn,
    /// The user has no live session of this id.
    #[error("no such session")]
    NoSuchSession,
    /// The caller is logged in by a sealed session, which would be over with the others.
    #[error("a sealed session cannot be spared")]
    Sealed,
    /// The store could not tell, or not confirm it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SessionManager {
    /// Ends one session of the user who presents `tokens`; says whether it is among those.
    pub async fn end_own(
        self: &Arc<Self>,
        tokens: Vec<SessionToken>,
        id: Option<SessionId>,
    ) -> Result<bool, OwnError> {
        let sessions = Arc::clone(self);
        let work = async move { sessions.end_one(&tokens, id).await };
        self.as_one_request(work, told).await
    }

    /// Ends all sessions of the user who presents `tokens` but those, sealed ones included; says
    /// how many were in the store and live.
    pub async fn end_others(
        self: &Arc<Self>,
        tokens: Vec<SessionToken>,
    ) -> Result<usize, OwnError> {
        let sessions = Arc::clone(self);
        let work = async move { sessions.end_all_but(&tokens).await };
        self.as_one_request(work, told).await
    }

    /// Ends all sessions of the user who presents `tokens`, those last: should it fail before, the
    /// user is still logged in and can ask again. Says how many were in the store and live.
    pub async fn end_all_own(
        self: &Arc<Self>,
        tokens: Vec<SessionToken>,
    ) -> Result<usize, OwnError> {
        let sessions = Arc::clone(self);
        let work = async move {
            let identity = sessions.check(tokens.clone()).await?;
            let user = identity.ok_or(OwnError::NotLoggedIn)?.user;
            let presented = tokens.iter().map(SessionId::of).collect();
            let spared = Some(Spared::These(presented));
            let others = sessions.end_of_user(user, spared, true, EndReason::Own);
            Ok(others.await? + sessions.end_presented(tokens, EndReason::Own).await?)
        };
        self.as_one_request(work, told).await
    }

    async fn end_one(
        self: &Arc<Self>,
        tokens: &[SessionToken],
        id: Option<SessionId>,
    ) -> Result<bool, OwnError> {
        let identity = self.check(tokens.to_vec()).await?;
        let identity = identity.ok_or(OwnError::NotLoggedIn)?;
        let id = id.ok_or(OwnError::NoSuchSession)?;
        let at = self.moment();
        let presented = self
            .credentials(tokens, at)
            .find(|one| one.id() == Some(id));
        let is_presented = presented.is_some();
        let ended = if let Some(credential @ Credential::Sealed(_)) = presented {
            self.end(credential, at, EndReason::Own).await?
        } else {
            let found = self.store.find(&id, at).await?;
            let is_own = found.is_some_and(|session| session.user == identity.user);
            is_own && self.end_issued(id, at, EndReason::Own).await?
        };
        ended.then_some(is_presented).ok_or(OwnError::NoSuchSession)
    }

    async fn end_all_but(self: &Arc<Self>, tokens: &[SessionToken]) -> Result<usize, OwnError> {
        let identity = self.check(tokens.to_vec()).await?;
        let identity = identity.ok_or(OwnError::NotLoggedIn)?;
        let mut spared = Vec::new();
        for credential in self.credentials(tokens, self.moment()) {
            match credential {
                Credential::Issued(id) => spared.push(id),
                Credential::Sealed(_) | Credential::NotYetValid(_) => {
                    return Err(OwnError::Sealed);
                }
                Credential::Rejected | Credential::Unrecognized => {}
            }
        }
        let spared = Some(Spared::These(spared));
        Ok(self
            .end_of_user(identity.user, spared, true, EndReason::Own)
            .await?)
    }
}
