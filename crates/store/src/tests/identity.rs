//! People, workspaces, sessions, keys and tokens.

use crate::testing::{
    DAY, MINUTE, NOW, code, hash, new_user, new_workspace, on_both, user, workspace,
};
use crate::{
    ApiKeyId, FirstOwner, InvitationId, NewApiKey, NewInvitation, NewSession, NewSignIn, Rotation,
    SessionKind, SignInOutcome, Store, UserChange, UserId, WorkspaceId,
};
use model::{Name, Role, Secret};

fn browser(user: &UserId, seed: u64) -> NewSession {
    NewSession {
        token: hash(seed),
        user: user.clone(),
        kind: SessionKind::Browser,
        expires_at_us: NOW + DAY,
        ip: Some("192.0.2.1".to_owned()),
        user_agent: None,
    }
}

pub(super) fn refresh(user: &UserId, seed: u64) -> NewSession {
    NewSession { kind: SessionKind::Refresh, ..browser(user, seed) }
}

fn key(user: &UserId, seed: u64, role: Role) -> NewApiKey {
    NewApiKey {
        user: user.clone(),
        name: "loader".to_owned(),
        prefix: "afk_1234".to_owned(),
        hash: hash(seed),
        role,
        scopes: vec!["runs".to_owned()],
        expires_at_us: Some(NOW + DAY),
    }
}

fn invitation(email: &str, seed: u64, role: Role) -> NewInvitation {
    NewInvitation {
        token: hash(seed),
        email: email.to_owned(),
        role,
        invited_by: None,
        expires_at_us: NOW + DAY,
    }
}

#[tokio::test]
async fn people_are_found_by_address_in_any_case() {
    on_both(async |store: Store| {
        let users = store.users();
        let ada = users.create(new_user(" Ada@Example.ORG "), NOW).await.unwrap();
        assert_eq!(ada.email, "ada@example.org");
        assert_eq!(users.by_email("ADA@example.org").await.unwrap(), Some(ada.clone()));
        assert_eq!(users.by_id(&ada.id).await.unwrap(), ada);
        assert_eq!(code(users.create(new_user("aDa@example.org"), NOW).await), "conflict");
        assert_eq!(code(users.by_id(&UserId::generate(NOW)).await), "not_found");
        let (found, password) = users.credentials("ada@example.org").await.unwrap().unwrap();
        assert_eq!((found.id, password), (ada.id.clone(), Some(Secret::new("argon2"))));

        let eve = user(&store, "eve@example.org").await;
        let taken = UserChange { email: Some("ADA@example.org".to_owned()), ..Default::default() };
        assert_eq!(code(users.change(&eve.id, taken, NOW).await), "conflict");
        let change = UserChange {
            email: Some("Ada@Elsewhere.org".to_owned()),
            name: Some("Ada".to_owned()),
            is_owner_of_installation: None,
        };
        let changed = users.change(&ada.id, change, NOW + 1).await.unwrap();
        assert_eq!((changed.email.as_str(), changed.name.as_str()), ("ada@elsewhere.org", "Ada"));
        assert_eq!(users.by_id(&ada.id).await.unwrap(), changed);
        users.record_login(&ada.id, NOW + 2).await.unwrap();
        assert_eq!(users.by_id(&ada.id).await.unwrap().last_login_at_us, Some(NOW + 2));
    })
    .await;
}

#[tokio::test]
async fn people_are_listed_in_pages() {
    on_both(async |store: Store| {
        for number in [3, 1, 5, 2, 4] {
            user(&store, &format!("user{number}@example.org")).await;
        }
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = store.users().list(after.as_deref(), 2).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|user| user.email));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = (1..=5).map(|number| format!("user{number}@example.org")).collect();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn a_new_password_and_switching_off_end_sessions() {
    on_both(async |store: Store| {
        let (users, sessions) = (store.users(), store.sessions());
        let ada = user(&store, "ada@example.org").await;
        sessions.begin(browser(&ada.id, 1), NOW).await.unwrap();
        sessions.begin(refresh(&ada.id, 2), NOW).await.unwrap();
        users.set_password(&ada.id, Secret::new("new"), NOW + 1).await.unwrap();
        assert_eq!(users.password_hash(&ada.id).await.unwrap(), Some(Secret::new("new")));
        assert_eq!(sessions.find(&hash(1), NOW).await.unwrap(), None);
        let rotated = sessions.rotate(&hash(2), &hash(3), NOW + DAY, NOW).await.unwrap();
        assert_eq!(rotated, Rotation::Unknown);

        sessions.begin(browser(&ada.id, 4), NOW).await.unwrap();
        assert!(!users.set_active(&ada.id, false, NOW).await.unwrap().is_active);
        assert_eq!(sessions.find(&hash(4), NOW).await.unwrap(), None);
        assert_eq!(code(sessions.begin(browser(&ada.id, 5), NOW).await), "not_found");
        assert!(users.set_active(&ada.id, true, NOW).await.unwrap().is_active);
        sessions.begin(browser(&ada.id, 5), NOW).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_installation_keeps_an_active_owner() {
    on_both(async |store: Store| {
        let installation = store.installation();
        assert!(!installation.is_set_up().await.unwrap());
        let first =
            FirstOwner { user: new_user("first@example.org"), workspace: new_workspace("home") };
        installation.create_set_up_token(&hash(1), NOW + DAY, NOW).await.unwrap();
        for (token, now_us) in [(hash(2), NOW), (hash(1), NOW + DAY)] {
            let refused = installation.complete_set_up(&token, first.clone(), now_us).await;
            assert_eq!(code(refused), "token_invalid");
        }
        let done = installation.complete_set_up(&hash(1), first.clone(), NOW).await.unwrap();
        assert!(done.0.is_owner_of_installation && installation.is_set_up().await.unwrap());
        assert_eq!(done.1.slug, "home");
        let again = installation.complete_set_up(&hash(1), first, NOW).await;
        assert_eq!(code(again), "set_up_done");
        let token = installation.create_set_up_token(&hash(3), NOW + DAY, NOW).await;
        assert_eq!(code(token), "set_up_done");

        let users = store.users();
        let step_down = UserChange { is_owner_of_installation: Some(false), ..Default::default() };
        assert_eq!(code(users.set_active(&done.0.id, false, NOW).await), "last_owner");
        assert_eq!(code(users.change(&done.0.id, step_down.clone(), NOW).await), "last_owner");
        let second = user(&store, "second@example.org").await;
        let rise = UserChange { is_owner_of_installation: Some(true), ..Default::default() };
        users.change(&second.id, rise, NOW).await.unwrap();
        users.change(&done.0.id, step_down, NOW).await.unwrap();
        assert_eq!(code(users.set_active(&second.id, false, NOW).await), "last_owner");
    })
    .await;
}

#[tokio::test]
async fn sessions_expire_are_listed_and_touched_once_a_minute() {
    on_both(async |store: Store| {
        let sessions = store.sessions();
        let ada = user(&store, "ada@example.org").await;
        let eve = user(&store, "eve@example.org").await;
        let session = sessions.begin(browser(&ada.id, 1), NOW).await.unwrap();
        sessions.begin(browser(&ada.id, 2), NOW).await.unwrap();
        let found = sessions.find(&hash(1), NOW + MINUTE - 1).await.unwrap().unwrap();
        assert_eq!(found, (session, ada.clone()));
        sessions.find(&hash(1), NOW + MINUTE).await.unwrap().unwrap();
        let list = sessions.list(&ada.id, NOW + MINUTE).await.unwrap();
        let seen: Vec<_> = list.iter().map(|row| (row.id.clone(), row.seen_at_us)).collect();
        assert_eq!(seen, [(hash(1), NOW + MINUTE), (hash(2), NOW)]);
        assert_eq!(sessions.find(&hash(1), NOW + DAY).await.unwrap(), None);
        assert_eq!(sessions.list(&ada.id, NOW + DAY).await.unwrap(), []);

        assert_eq!(code(sessions.end(&eve.id, &hash(1)).await), "not_found");
        sessions.end(&ada.id, &hash(1)).await.unwrap();
        assert_eq!(sessions.find(&hash(1), NOW).await.unwrap(), None);
        sessions.begin(browser(&ada.id, 3), NOW).await.unwrap();
        assert_eq!(sessions.end_all(&ada.id, Some(&hash(3))).await.unwrap(), 1);
        assert!(sessions.find(&hash(3), NOW).await.unwrap().is_some());
        assert_eq!(sessions.end_all(&ada.id, None).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_its_family_and_no_other() {
    on_both(async |store: Store| {
        let sessions = store.sessions();
        let ada = user(&store, "ada@example.org").await;
        sessions.begin(refresh(&ada.id, 1), NOW).await.unwrap();
        sessions.begin(refresh(&ada.id, 10), NOW).await.unwrap();
        // A refresh token is no cookie.
        assert_eq!(sessions.find(&hash(1), NOW).await.unwrap(), None);
        for step in 1..4 {
            let rotation = sessions.rotate(&hash(step), &hash(step + 1), NOW + DAY, NOW + 1).await;
            let Rotation::Rotated(session) = rotation.unwrap() else { panic!("not rotated") };
            assert_eq!((session.id, session.used_at_us), (hash(step + 1), None));
        }
        assert_eq!(sessions.list(&ada.id, NOW).await.unwrap().len(), 2);
        let reused = sessions.rotate(&hash(2), &hash(9), NOW + DAY, NOW + 2).await.unwrap();
        assert_eq!(reused, Rotation::Reused(ada.id.clone()));
        let rotated = sessions.rotate(&hash(4), &hash(5), NOW + DAY, NOW + 2).await.unwrap();
        assert_eq!(rotated, Rotation::Unknown);
        let left = sessions.list(&ada.id, NOW).await.unwrap();
        assert_eq!(left.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), [hash(10)]);
    })
    .await;
}

#[tokio::test]
async fn members_come_change_and_go_but_an_owner_stays() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let members = home.members();
        let ada = user(&store, "ada@example.org").await;
        members.add(&ada.id, Role::Editor, NOW + 1).await.unwrap();
        assert_eq!(code(members.add(&ada.id, Role::Viewer, NOW).await), "conflict");
        assert_eq!(code(members.add(&UserId::generate(NOW), Role::Viewer, NOW).await), "not_found");
        let list: Vec<_> =
            members.list().await.unwrap().into_iter().map(|m| (m.user.email, m.role)).collect();
        let expected =
            [("ada@example.org".to_owned(), Role::Editor), (owner.email.clone(), Role::Owner)];
        assert_eq!(list, expected);
        assert_eq!(home.role_of(&ada.id).await.unwrap(), Some(Role::Editor));
        assert_eq!(store.workspaces().of(&ada.id).await.unwrap().len(), 1);

        assert_eq!(code(members.set_role(&owner.id, Role::Admin).await), "last_owner");
        assert_eq!(code(members.remove(&owner.id, NOW).await), "last_owner");
        members.set_role(&ada.id, Role::Owner).await.unwrap();
        members.set_role(&owner.id, Role::Viewer).await.unwrap();
        members.remove(&owner.id, NOW).await.unwrap();
        assert_eq!(home.role_of(&owner.id).await.unwrap(), None);
        assert_eq!(code(members.set_role(&owner.id, Role::Viewer).await), "not_found");
        assert_eq!(code(members.remove(&owner.id, NOW).await), "not_found");
    })
    .await;
}

#[tokio::test]
async fn workspaces_have_a_name_of_their_own_and_can_be_removed() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let again = store.workspaces().create(new_workspace("sales"), &owner.id, NOW).await;
        assert_eq!(code(again), "conflict");
        let home = store.workspace(&id);
        let settings = serde_json::json!({"zone": "Europe/Paris", "text": "\u{0}\u{1F600}"});
        let changed = home.change(Some("Sales".to_owned()), Some(settings.clone())).await.unwrap();
        assert_eq!(changed.settings.0, settings);
        let found = store.workspaces().by_slug(&Name::new("sales").unwrap()).await.unwrap();
        assert_eq!((found, home.get().await.unwrap()), (changed.clone(), changed));
        home.api_keys().create(key(&owner.id, 1, Role::Owner), NOW).await.unwrap();
        home.delete().await.unwrap();
        assert_eq!(code(home.get().await), "not_found");
        assert_eq!(code(home.delete().await), "not_found");
        assert_eq!(store.api_keys().find(&hash(1), NOW).await.unwrap(), None);
        assert_eq!(store.workspaces().of(&owner.id).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn an_api_key_may_what_it_and_its_person_may() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let keys = store.workspace(&id).api_keys();
        let ada = user(&store, "ada@example.org").await;
        assert_eq!(code(keys.create(key(&ada.id, 1, Role::Viewer), NOW).await), "not_found");
        store.workspace(&id).members().add(&ada.id, Role::Operator, NOW).await.unwrap();
        keys.create(key(&ada.id, 1, Role::Admin), NOW).await.unwrap();
        let low = keys.create(key(&owner.id, 2, Role::Viewer), NOW + 2_000).await.unwrap();
        let find = async |seed, now_us| store.api_keys().find(&hash(seed), now_us).await.unwrap();
        let (found, person, role) = find(1, NOW).await.unwrap();
        assert_eq!((person.id, role), (ada.id.clone(), Role::Operator));
        assert_eq!(found.scopes, ["runs"]);
        assert_eq!(find(2, NOW).await.unwrap().2, Role::Viewer);
        assert_eq!(keys.list().await.unwrap()[0].id, low.id);
        assert_eq!(keys.get(&low.id).await.unwrap().last_used_at_us, Some(NOW));
        assert_eq!(find(1, NOW + DAY).await, None);
        assert_eq!(find(3, NOW).await, None);

        keys.revoke(&low.id, NOW + 5).await.unwrap();
        keys.revoke(&low.id, NOW + 6).await.unwrap();
        assert_eq!(keys.get(&low.id).await.unwrap().revoked_at_us, Some(NOW + 5));
        assert_eq!(find(2, NOW).await, None);
        store.users().set_active(&ada.id, false, NOW).await.unwrap();
        assert_eq!(find(1, NOW).await, None);
        store.users().set_active(&ada.id, true, NOW).await.unwrap();
        assert!(find(1, NOW).await.is_some());
        store.workspace(&id).members().remove(&ada.id, NOW).await.unwrap();
        assert_eq!(find(1, NOW).await, None);
    })
    .await;
}

#[tokio::test]
async fn invitations_are_for_one_address_and_for_once() {
    on_both(async |store: Store| {
        let (id, _) = workspace(&store, "sales").await;
        let home = store.workspace(&id);
        let invitations = home.invitations();
        invitations.create(invitation("Ada@example.org", 1, Role::Viewer), NOW).await.unwrap();
        let made = invitations.create(invitation("ada@example.org", 2, Role::Editor), NOW).await;
        assert_eq!(invitations.list(NOW).await.unwrap(), [made.unwrap()]);
        assert_eq!(code(store.guest(&hash(1)).look(NOW).await), "token_invalid");
        let guest = store.guest(&hash(2));
        assert_eq!(guest.look(NOW).await.unwrap().1.id, id);
        assert_eq!(code(guest.look(NOW + DAY).await), "token_invalid");
        let eve = user(&store, "eve@example.org").await;
        assert_eq!(code(guest.accept(&eve.id, NOW).await), "token_invalid");
        let (ada, _) = guest.accept_as_new("Ada", Secret::new("x"), NOW).await.unwrap();
        assert_eq!(home.role_of(&ada.id).await.unwrap(), Some(Role::Editor));
        assert_eq!(code(guest.accept(&ada.id, NOW).await), "token_invalid");

        // An invitation gives; it does not take away.
        for (seed, invited, then) in
            [(3, Role::Viewer, Role::Editor), (4, Role::Admin, Role::Admin)]
        {
            let new = invitation("ada@example.org", seed, invited);
            invitations.create(new, NOW).await.unwrap();
            store.guest(&hash(seed)).accept(&ada.id, NOW).await.unwrap();
            assert_eq!(home.role_of(&ada.id).await.unwrap(), Some(then));
        }
        let open = invitations.create(invitation("bob@example.org", 5, Role::Viewer), NOW).await;
        invitations.withdraw(&open.unwrap().id).await.unwrap();
        assert_eq!(code(store.guest(&hash(5)).look(NOW).await), "token_invalid");
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_password_is_set_once() {
    on_both(async |store: Store| {
        let resets = store.password_resets();
        let ada = user(&store, "ada@example.org").await;
        store.sessions().begin(browser(&ada.id, 9), NOW).await.unwrap();
        resets.create(&ada.id, &hash(1), NOW + MINUTE, NOW).await.unwrap();
        resets.create(&ada.id, &hash(2), NOW + MINUTE, NOW).await.unwrap();
        for (token, now_us) in [(hash(1), NOW), (hash(2), NOW + MINUTE), (hash(3), NOW)] {
            let refused = resets.redeem(&token, Secret::new("new"), now_us).await;
            assert_eq!(code(refused), "token_invalid");
        }
        let person = resets.redeem(&hash(2), Secret::new("new"), NOW + 1).await.unwrap();
        assert_eq!(person.id, ada.id);
        let password = store.users().password_hash(&ada.id).await.unwrap();
        assert_eq!(password, Some(Secret::new("new")));
        assert_eq!(store.sessions().find(&hash(9), NOW).await.unwrap(), None);
        let again = resets.redeem(&hash(2), Secret::new("new"), NOW + 2).await;
        assert_eq!(code(again), "token_invalid");
    })
    .await;
}

#[tokio::test]
async fn failures_count_until_the_person_signs_in() {
    on_both(async |store: Store| {
        let sign_ins = store.sign_ins();
        let record = async |outcome, at_us| {
            let new = NewSignIn {
                user: None,
                email: "Ada@example.org".to_owned(),
                ip: Some("192.0.2.1".to_owned()),
                outcome,
            };
            sign_ins.record(new, at_us).await.unwrap();
        };
        for minute in 0..3 {
            record(SignInOutcome::WrongPassword, NOW + minute * MINUTE).await;
        }
        record(SignInOutcome::Locked, NOW + 3 * MINUTE).await;
        let by_email = async |since| sign_ins.failures_by_email("ada@EXAMPLE.org", since).await;
        assert_eq!(by_email(NOW).await.unwrap(), 3);
        assert_eq!(by_email(NOW + 1).await.unwrap(), 2);
        record(SignInOutcome::Succeeded, NOW + 4 * MINUTE).await;
        record(SignInOutcome::UnknownUser, NOW + 5 * MINUTE).await;
        assert_eq!(by_email(NOW).await.unwrap(), 1);
        assert_eq!(sign_ins.failures_by_ip("192.0.2.1", NOW).await.unwrap(), 4);
        assert_eq!(sign_ins.failures_by_ip("192.0.2.2", NOW).await.unwrap(), 0);
        let first = sign_ins.history(None, None, 4).await.unwrap();
        assert_eq!(first.items[0].outcome, SignInOutcome::UnknownUser);
        let rest = sign_ins.history(None, first.next.as_deref(), 4).await.unwrap();
        assert_eq!((rest.items.len(), rest.next), (2, None));
    })
    .await;
}

#[tokio::test]
async fn what_another_workspace_owns_is_not_found() {
    on_both(async |store: Store| {
        let (id, owner) = workspace(&store, "sales").await;
        let (other, _) = workspace(&store, "stock").await;
        let key = store.workspace(&id).api_keys().create(key(&owner.id, 1, Role::Owner), NOW).await;
        let key = key.unwrap().id;
        let new = invitation("ada@example.org", 2, Role::Viewer);
        let open = store.workspace(&id).invitations().create(new, NOW).await.unwrap();
        let stock = store.workspace(&other);
        assert_eq!(code(stock.api_keys().get(&key).await), "not_found");
        assert_eq!(code(stock.api_keys().revoke(&key, NOW).await), "not_found");
        assert_eq!(stock.api_keys().list().await.unwrap(), []);
        assert_eq!(code(stock.invitations().withdraw(&open.id).await), "not_found");
        assert_eq!(stock.invitations().list(NOW).await.unwrap(), []);
        assert_eq!(code(stock.members().set_role(&owner.id, Role::Viewer).await), "not_found");
        assert_eq!(code(stock.members().remove(&owner.id, NOW).await), "not_found");
        assert_eq!(stock.role_of(&owner.id).await.unwrap(), None);
        assert_eq!(stock.members().list().await.unwrap().len(), 1);
        assert!(store.api_keys().find(&hash(1), NOW).await.unwrap().is_some());

        let nowhere = store.workspace(&WorkspaceId::generate(NOW));
        assert_eq!(code(nowhere.members().add(&owner.id, Role::Viewer, NOW).await), "not_found");
        let new = invitation("ada@example.org", 3, Role::Viewer);
        assert_eq!(code(nowhere.invitations().create(new, NOW).await), "not_found");
        assert_eq!(code(nowhere.change(None, None).await), "not_found");
    })
    .await;
}

#[test]
fn ids_are_ulids_and_nothing_else() {
    let id = UserId::generate(NOW);
    assert_eq!(UserId::parse(id.as_str()).unwrap(), id);
    assert!(UserId::generate(NOW) < UserId::generate(NOW + 1_000));
    for text in ["", "1", "../../etc/passwd", "01ARZ3NDEKTSV4RRFFQ69G5FA!"] {
        assert_eq!(code(ApiKeyId::parse(text)), "not_found");
        assert_eq!(code(InvitationId::parse(text)), "not_found");
        assert!(serde_json::from_value::<UserId>(text.into()).is_err());
    }
    assert_eq!(code(crate::TokenHash::parse(&"G".repeat(64))), "not_found");
    assert_eq!(crate::TokenHash::parse(hash(5).as_str()).unwrap(), hash(5));
}
