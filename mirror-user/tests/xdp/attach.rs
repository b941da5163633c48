//! Attaching the capture program to real interfaces: modes, fallback, refusals, and what remains afterwards.

use mirror_common::verdict::Verdict;
use mirror_testkit::namespace::Namespace;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::veth::{VethOptions, VethPair};
use mirror_user::xdp::interface::{Interface, interfaces};
use mirror_user::xdp::{AttachMode, AttachModeRequest, Program, ProgramConfig, XdpError};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

fn load() -> Program {
    Program::load(&ProgramConfig::default()).unwrap()
}

/// The interface `name` of the calling thread's namespace.
fn interface(name: &str) -> Interface {
    interfaces().unwrap().into_iter().find(|interface| interface.name == name).unwrap()
}

fn program_id(capture: &Program) -> u32 {
    capture.program().unwrap().info().unwrap().id()
}

#[test]
fn a_veth_takes_the_program_in_its_driver() {
    if skipped_without_root() {
        return;
    }
    // An MTU beyond one page: only programs for packets of several buffers may be attached.
    let pair = VethPair::new(VethOptions { mtu: 8_500, ..VethOptions::default() }).unwrap();
    pair.receiver
        .enter(|| {
            let mut capture = load();
            let attached = capture.attach(VethPair::RECEIVING, AttachModeRequest::Auto).unwrap();
            assert_eq!(attached.mode, AttachMode::Native);
            assert!(attached.fallback.is_none());
            assert_eq!(interface(VethPair::RECEIVING).native_program, Some(program_id(&capture)));

            capture.detach().unwrap();
            assert_eq!(interface(VethPair::RECEIVING).program(), None);
            // The kernel's own packets (multicast of IPv6) may have passed meanwhile.
            let counts = capture.verdicts().unwrap().total();
            let mut others = Verdict::ALL.into_iter().filter(|verdict| !verdict.is_passed());
            assert!(others.all(|verdict| counts[verdict as usize] == 0), "{counts:?}");
            capture.detach().unwrap(); // once more is no error

            capture.attach(VethPair::RECEIVING, AttachModeRequest::Generic).unwrap();
            assert_eq!(interface(VethPair::RECEIVING).generic_program, Some(program_id(&capture)));
            drop(capture);
            assert_eq!(interface(VethPair::RECEIVING).program(), None);
        })
        .unwrap();
}

#[test]
fn a_driver_without_xdp_leads_to_generic_mode_and_says_why() {
    if skipped_without_root() {
        return;
    }
    Namespace::new()
        .unwrap()
        .enter(|| {
            let mut capture = load();
            let attached = capture.attach("lo", AttachModeRequest::Auto).unwrap();
            assert_eq!(attached.mode, AttachMode::Generic);
            assert_eq!(attached.fallback.unwrap().to_string(), "the driver of lo has no native XDP");
            let refused = capture.attach("lo", AttachModeRequest::Native).unwrap_err();
            assert!(
                matches!(refused, XdpError::ModeNotSupported { mode: AttachMode::Native, .. }),
                "{refused}"
            );
            assert_eq!(interface("lo").program(), None);
        })
        .unwrap();
}

#[test]
fn a_veth_with_too_few_queues_leads_to_generic_mode_and_says_why() {
    if skipped_without_root() {
        return;
    }
    let namespace = Namespace::new().unwrap();
    namespace
        .run("ip", &["link", "add", "few", "type", "veth", "peer", "name", "many", "numtxqueues", "2"])
        .unwrap();
    namespace.run("ethtool", &["--set-channels", "many", "tx", "2"]).unwrap();
    namespace
        .enter(|| {
            let attached = load().attach("few", AttachModeRequest::Auto).unwrap();
            assert_eq!(attached.mode, AttachMode::Generic);
            let fallback = attached.fallback.unwrap();
            assert!(matches!(fallback, XdpError::TooFewQueues { .. }), "{fallback}");
        })
        .unwrap();
}

#[test]
fn an_unknown_interface_is_answered_with_those_that_exist() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    pair.receiver
        .enter(|| {
            for name in ["eth7", "", "a\0b", "longer-than-any-interface"] {
                let error = load().attach(name, AttachModeRequest::Auto).unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("there is no interface {name:?} here; there are: lo, {}", VethPair::RECEIVING)
                );
            }
        })
        .unwrap();
}

#[test]
fn an_interface_that_is_taken_is_answered_with_the_program_that_holds_it() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    pair.receiver
        .enter(|| {
            for (held, keyword) in
                [(AttachModeRequest::Native, "xdpdrv"), (AttachModeRequest::Generic, "xdpgeneric")]
            {
                let mut first = load();
                let mode = first.attach(VethPair::RECEIVING, held).unwrap().mode;
                for request in
                    [AttachModeRequest::Auto, AttachModeRequest::Native, AttachModeRequest::Generic]
                {
                    let error = load().attach(VethPair::RECEIVING, request).unwrap_err();
                    assert!(matches!(error, XdpError::AlreadyAttached { .. }), "{error}");
                    let message = error.to_string();
                    let holder = format!("mirror_capture (id {}, {mode} mode)", program_id(&first));
                    assert!(message.contains(&holder), "{message}");
                    assert!(
                        message.contains(&format!("dev {} {keyword} off", VethPair::RECEIVING)),
                        "{message}"
                    );
                }
            }
        })
        .unwrap();
}

#[test]
fn the_capabilities_that_the_error_names_are_those_that_are_needed() {
    if skipped_without_root() {
        return;
    }
    drop(load()); // aya looks at the kernel's features once per process, and must see them as root does
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let attempt = |set: CapabilitySet| {
        // Capabilities belong to a thread, and `enter` makes a new one.
        pair.receiver
            .enter(|| {
                let sets =
                    CapabilitySets { effective: set, permitted: set, inheritable: CapabilitySet::empty() };
                set_capabilities(None, sets).unwrap();
                let mut capture = Program::load(&ProgramConfig::default())?;
                capture.attach(VethPair::RECEIVING, AttachModeRequest::Native).map(|attached| attached.mode)
            })
            .unwrap()
    };
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
    assert_eq!(attempt(needed).unwrap(), AttachMode::Native);
    for missing in needed.iter() {
        let error = attempt(needed - missing).unwrap_err();
        assert!(matches!(error, XdpError::NotPermitted { .. }), "without {missing:?}: {error}");
        assert!(error.to_string().contains("CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"), "{error}");
    }
}
