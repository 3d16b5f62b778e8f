// A box with two workers and three ports. Who owns what follows from addresses alone, so tests pick addresses by their
// home: lan(0) is a host of "lan" that is at home at worker 0.
#pragma once

#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

namespace sluice::test {

struct TwoWorkers : Box {
    explicit TwoWorkers(BoxOptions options = {}) : Box(with_two(options)) {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("dmz", PortRole::inside, "192.168.2.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        if (!options.ipv6) return;
        address("lan", "2001:db8:1::1/64");
        address("dmz", "2001:db8:3::1/64");
        address("wan", "2001:db8:2::1/64");
    }

    /// The `nth` host of a /24 whose home is worker `home`.
    [[nodiscard]] Ip4 host(Ip4 net, unsigned home, unsigned nth = 0) const {
        for (unsigned last = 100; last < 250; ++last) {
            const Ip4 a = Ip4::from_host((net.host() & ~0xffU) | last);
            if (home_of(a) == home && nth-- == 0) return a;
        }
        throw std::logic_error("no such host");
    }
    /// The same of a /64.
    [[nodiscard]] IpAddress host(const IpAddress& net, unsigned home, unsigned nth = 0) const {
        for (unsigned last = 0x100; last < 0x200; ++last) {
            IpAddress a = net;
            a.set_word(3, last);
            if (home_of(a) == home && nth-- == 0) return a;
        }
        throw std::logic_error("no such host");
    }
    [[nodiscard]] IpAddress lan6(unsigned home, unsigned nth = 0) const { return host(kBoxInside6, home, nth); }
    [[nodiscard]] IpAddress wan6(unsigned home, unsigned nth = 0) const { return host(kBoxOutside6, home, nth); }
    [[nodiscard]] IpAddress dmz6(unsigned home, unsigned nth = 0) const {
        return host(ip6(0x2001, 0xdb8, 3, 0, 0, 0, 0, 1), home, nth);
    }
    [[nodiscard]] Ip4 lan(unsigned home, unsigned nth = 0) const { return host(ip4(192, 168, 1, 0), home, nth); }
    [[nodiscard]] Ip4 dmz(unsigned home, unsigned nth = 0) const { return host(ip4(192, 168, 2, 0), home, nth); }
    [[nodiscard]] Ip4 wan(unsigned home, unsigned nth = 0) const { return host(ip4(203, 0, 113, 0), home, nth); }

    [[nodiscard]] std::uint64_t count(Counter WorkerCounters::*counter) const {
        return sum([&](const WorkerCounters& c) -> const Counter& { return c.*counter; });
    }
    [[nodiscard]] std::uint64_t stubs() const { return count(&WorkerCounters::stubs); }
    [[nodiscard]] std::uint64_t stubs_at(unsigned worker) { return lcore(worker).counters.stubs.get(); }
    [[nodiscard]] std::uint64_t stub_requests() const { return count(&WorkerCounters::stub_requests); }
    [[nodiscard]] std::uint64_t stub_hits() const { return count(&WorkerCounters::stub_hits); }
    [[nodiscard]] std::uint64_t handed_over() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.balance.handed_out; });
    }
    [[nodiscard]] std::uint64_t held() const {
        return sum([](const WorkerCounters& c) -> const Counter& { return c.balance.held; });
    }
    [[nodiscard]] std::uint64_t births(unsigned worker) { return lcore(worker).counters.flow_births.get(); }

    /// Frames that left by `name` carry IP ids `first`, `first` + 1, …
    void check_order(const std::string& name, unsigned count, unsigned first = 0) {
        const auto frames = sent(name);
        REQUIRE(frames.size() == count);
        for (unsigned i = 0; i < count; ++i) CHECK(decode(frames[i]).ip_id == first + i);
    }

private:
    static BoxOptions with_two(BoxOptions options) {
        options.workers = 2;
        return options;
    }
};

}  // namespace sluice::test
