//! What is refused before a token is asked; starts and stops.

use super::*;

#[test]
fn an_authorization_for_another_version_of_the_key_is_not_signed() {
    let (double, hsm) = one(Behaviour::Steady);
    let other = Double::new("other", Behaviour::Steady).public_key();
    let permit = hsm.permit(&key("gold")).unwrap();
    let answer = hsm.sign(authorization("gold", &other, 1), permit);
    let failed = answer.blocking_recv().unwrap().unwrap_err();
    assert!(matches!(failed, SignFailure::KeyMismatch { .. }), "{failed}");
    assert_eq!(double.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn places_are_bounded_given_back_and_of_one_token() {
    let double = Double::new("gold", Behaviour::Steady);
    let neighbour = Double::new("silver", Behaviour::Steady);
    let hsm = start(vec![plan(&double, 1, 2), plan(&neighbour, 1, 2)]);
    let first = hsm.permit(&key("gold")).unwrap();
    let second = hsm.permit(&key("gold")).unwrap();
    assert_eq!(hsm.permit(&key("gold")).err(), Some(Unavailable::Overloaded));
    assert_eq!(hsm.status()[0].waiting, 2);
    drop(first);
    let third = hsm.permit(&key("gold")).unwrap();
    assert_eq!(hsm.permit(&key("tin")).err(), Some(Unavailable::UnknownKey(key("tin"))));
    let answer = hsm.sign(authorization("silver", &neighbour.public_key(), 1), second);
    let failed = answer.blocking_recv().unwrap().unwrap_err();
    assert!(matches!(failed, SignFailure::NotAsked { .. }), "{failed}");
    let answer = hsm.sign(authorization("gold", &double.public_key(), 1), third);
    answer.blocking_recv().unwrap().unwrap();
    assert_eq!(hsm.status()[0].waiting, 0);
}

#[test]
fn a_token_that_does_not_open_or_has_another_key_stops_the_start() {
    let steady = Double::new("silver", Behaviour::Steady);
    let gone = Double::new("gold", Behaviour::Steady);
    gone.gone.store(true, Ordering::SeqCst);
    let refused = Hsm::start(vec![plan(&steady, 1, 1), plan(&gone, 2, 1)], Instant::now).err();
    assert!(refused.unwrap().to_string().contains("C_OpenSession answered CKR_DEVICE_ERROR"));
    let mut swapped = plan(&steady, 1, 1);
    swapped.keys[0].public = gone.public_key();
    let refused = Hsm::start(vec![swapped], Instant::now).err().unwrap();
    assert!(matches!(refused, TokenError::PinnedKeyMismatch { .. }), "{refused}");
}

#[test]
fn a_stop_finishes_what_waits_and_takes_nothing_more() {
    let double = Double::new("gold", Behaviour::Hanging);
    let hsm = start(vec![plan(&double, 2, 8)]);
    let waiting: Vec<Answer> = (0..5).map(|number| submit(&hsm, &double, number)).collect();
    let late = hsm.permit(&key("gold")).unwrap();
    assert!(!hsm.shutdown(Duration::from_millis(50)), "hanging threads do not end");
    double.open_gate();
    assert!(hsm.shutdown(Duration::from_secs(5)));
    for answer in waiting {
        answer.blocking_recv().unwrap().unwrap();
    }
    let answer = hsm.sign(authorization("gold", &double.public_key(), 9), late);
    let failed = answer.blocking_recv().unwrap().unwrap_err();
    assert!(matches!(failed, SignFailure::NotAsked { .. }), "{failed}");
}

#[test]
fn dropping_the_last_clone_closes_every_session() {
    let (double, hsm) = one(Behaviour::Steady);
    let watch = Arc::downgrade(&double);
    drop(hsm.clone());
    sign(&hsm, &double, 1).unwrap();
    drop((hsm, double));
    wait_until("released", || watch.strong_count() == 0);
}
