//! Two of what there must be one of.

use cadenas_e2e::{CadenasOptions, World};

use crate::state::State;

#[test]
fn a_second_server_on_the_same_data_ends_and_the_first_serves_on() {
    let world = World::ready();
    let before = State::of(&world);
    let mut second = CadenasOptions::default().data(world.cadenas.data_dir()).prepare(&world.libvirt.uri());
    let words = second.try_start().expect_err("the data is in use");
    let pid = world.cadenas.pid().expect("it runs").to_string();
    for word in
        ["status: 1", "in use by another server", &pid, &world.cadenas.data_dir().display().to_string(), "--data"]
    {
        assert!(words.contains(word), "`{word}` is not in: {words}");
    }
    before.assert_still(&world);
}
