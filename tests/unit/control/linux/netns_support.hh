// What the tests with a real kernel share: a namespace per test case, the operator's commands, an observer that keeps
// what it was told, and frames.
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <net/if.h>
#include <sched.h>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "control/linux/kernel.hh"
#include "control/linux/netlink.hh"
#include "control/linux/requests.hh"
#include "control/linux/twin.hh"

namespace sluice::test {

inline void sh(const std::string& command) {
    INFO(command);
    REQUIRE(std::system(command.c_str()) == 0);
}

inline std::string output_of(const std::string& command) {
    std::string text;
    FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    for (std::array<char, 4096> part{}; std::fgets(part.data(), part.size(), pipe) != nullptr;) text += part.data();
    pclose(pipe);
    return text;
}

inline IfIndex index_of(const std::string& name) {
    return static_cast<IfIndex>(if_nametoindex(name.c_str()));
}

template <class T>
T value_of(OrFailure<T> result) {
    if (auto* failure = std::get_if<Failure>(&result)) FAIL(failure->text);
    return std::move(std::get<T>(result));
}

template <class T>
std::string text_of(const OrFailure<T>& result) {
    const auto* failure = std::get_if<Failure>(&result);
    return failure != nullptr ? failure->text : "";
}

inline std::string text_of(const MaybeFailure& failure) {
    return failure ? failure->text : "";
}

/// What the kernel said, as it stands now. A change that is none, or the removal of something unknown, is a failure.
struct Recorder : KernelObserver {
    std::map<IfIndex, LinkInfo> links;
    std::map<std::pair<IfIndex, IpAddress>, AddressInfo> addresses;
    std::map<RouteKey, RouteInfo> routes;
    std::map<std::pair<IfIndex, IpAddress>, NeighbourInfo> neighbours;
    int resyncs_begun = 0;
    int resyncs_ended = 0;

    void on_link(const LinkInfo& link, bool gone) override { note(links, link.ifindex, link, !gone); }
    void on_address(const AddressInfo& address, bool added) override {
        note(addresses, std::pair{address.ifindex, address.prefix.address}, address, added);
    }
    void on_route(const RouteInfo& route, bool added) override { note(routes, route.key, route, added); }
    void on_neighbour(const NeighbourInfo& neighbour, bool gone) override {
        note(neighbours, std::pair{neighbour.ifindex, neighbour.address}, neighbour, !gone);
    }
    void on_resync_begin() override { ++resyncs_begun; }
    void on_resync_end() override { ++resyncs_ended; }
    void on_kernel_lost(const Failure& why) override { FAIL_CHECK(why.text); }

    [[nodiscard]] const RouteInfo* route(const IpAddress& to, std::uint8_t length) const {
        return route_of({kMainTable, {to, length}, 0, to.is_v4() ? 0 : kDefaultMetric6});
    }
    /// The first of the key, whichever link it is of.
    [[nodiscard]] const RouteInfo* route_of(RouteKey key) const {
        const auto at = routes.lower_bound(key);
        if (at == routes.end()) return nullptr;
        key.device = at->first.device;
        return at->first == key ? &at->second : nullptr;
    }

private:
    template <class Map, class Key, class Value>
    static void note(Map& map, const Key& key, const Value& value, bool added) {
        const auto at = map.find(key);
        if (added) {
            CHECK((at == map.end() || at->second != value));
            map.insert_or_assign(key, value);
        } else {
            CHECK(at != map.end());
            map.erase(key);
        }
    }
};

/// A test case's own network namespace, and the control thread in it. The namespace of the case before goes with its
/// last descriptor.
class Box {
public:
    Box() {
        REQUIRE(unshare(CLONE_NEWNET) == 0);
        sh("ip link set lo up");
        requests = value_of(RtnlRequests::open());
    }

    boost::asio::io_context io;
    std::unique_ptr<RtnlRequests> requests;
    Recorder seen;

    std::unique_ptr<Twin> twin(const std::string& name, unsigned char number, std::vector<IpPrefix> addresses = {}) {
        return value_of(Twin::create(io, *requests, {.name = name, .mac = mac(number), .addresses = addresses}));
    }

    static MacAddress mac(unsigned char number) { return {{2, 0, 0, 0, 0, number}}; }

    std::unique_ptr<Netlink> watch(const NetlinkOptions& options = {}) {
        auto netlink = value_of(Netlink::open(io, seen, *requests, options));
        netlink->start();
        const int before = seen.resyncs_ended;
        until("the first resync", [&] { return seen.resyncs_ended > before; });
        return netlink;
    }

    void until(const std::string& what, const std::function<bool()>& done) {
        INFO("waiting for " << what);
        REQUIRE(comes_true(done, std::chrono::seconds(10)));
    }

    /// Lets the control thread run until `done`, at most `patience` long.
    bool comes_true(const std::function<bool()>& done, std::chrono::milliseconds patience) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (!done()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            io.restart();
            io.run_one_for(std::chrono::milliseconds(20));
        }
        return true;
    }
};

using Frame = std::vector<std::byte>;

/// Puts big-endian fields one after another.
class FrameWriter {
public:
    FrameWriter& mac(const MacAddress& mac) {
        for (const auto byte : mac.bytes) frame_.push_back(std::byte{byte});
        return *this;
    }
    FrameWriter& u8(unsigned value) {
        frame_.push_back(static_cast<std::byte>(value));
        return *this;
    }
    FrameWriter& u16(unsigned value) { return u8(value >> 8 & 255).u8(value & 255); }
    FrameWriter& ip(Ip4 address) { return u16(address.host() >> 16).u16(address.host() & 0xffff); }
    FrameWriter& fill(std::size_t bytes) {
        frame_.resize(frame_.size() + bytes);
        return *this;
    }
    Frame frame_;
};

constexpr MacAddress kBroadcast{{255, 255, 255, 255, 255, 255}};

inline Frame arp(unsigned operation, const MacAddress& to, const MacAddress& mac, Ip4 from_ip, Ip4 to_ip) {
    FrameWriter w;
    w.mac(to).mac(mac).u16(0x0806).u16(1).u16(0x0800).u8(6).u8(4).u16(operation);
    w.mac(mac).ip(from_ip).mac(to == kBroadcast ? MacAddress{} : to).ip(to_ip);
    return w.frame_;
}

/// The Internet checksum (RFC 1071) over any bytes, the slow way: the judge of what the kernel filled in.
inline unsigned sum_of(std::span<const std::byte> bytes, unsigned sum = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += std::to_integer<unsigned>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

inline Frame udp(const MacAddress& to, const MacAddress& from, Ip4 source, Ip4 destination, unsigned port) {
    FrameWriter w;
    w.mac(to).mac(from).u16(0x0800);
    w.u16(0x4500).u16(20 + 8 + 18).u16(0).u16(0).u8(64).u8(17).u16(0).ip(source).ip(destination);
    const unsigned sum = ~sum_of(std::span(w.frame_).subspan(14, 20)) & 0xffff;
    w.frame_[24] = static_cast<std::byte>(sum >> 8);
    w.frame_[25] = static_cast<std::byte>(sum & 255);
    w.u16(4000).u16(port).u16(8 + 18).u16(0).fill(18);  // no UDP checksum, RFC 768
    return w.frame_;
}

inline unsigned u16_at(const Frame& frame, std::size_t at) {
    return std::to_integer<unsigned>(frame.at(at)) << 8 | std::to_integer<unsigned>(frame.at(at + 1));
}
inline Ip4 ip_at(const Frame& frame, std::size_t at) {
    return Ip4::from_host(u16_at(frame, at) << 16 | u16_at(frame, at + 2));
}
inline bool is_arp(const Frame& frame, unsigned operation) {
    return frame.size() >= 42 && u16_at(frame, 12) == 0x0806 && u16_at(frame, 20) == operation;
}
inline bool is_udp_to(const Frame& frame, Ip4 destination) {
    return frame.size() >= 42 && u16_at(frame, 12) == 0x0800 && frame[23] == std::byte{17} &&
           ip_at(frame, 30) == destination;
}

/// The frames that a twin's kernel side sent.
struct Outbox {
    std::vector<Frame> frames;
    std::vector<Failure> lost;
    explicit Outbox(TwinPort& twin) {
        twin.start([this](std::span<const std::byte> frame) { frames.emplace_back(frame.begin(), frame.end()); },
                   [this](const Failure& why) { lost.push_back(why); });
    }
    template <class Matches>
    [[nodiscard]] const Frame* find(Matches&& matches) const {
        for (const Frame& frame : frames)
            if (matches(frame)) return &frame;
        return nullptr;
    }
};

}  // namespace sluice::test
