#include "control/linux/twin.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>

namespace sluice {
namespace {

/// Longest frame that a TAP hands over: its greatest MTU and Ethernet header with two tags.
constexpr std::size_t kMaxFrameBytes = 65535 + 22;

Failure errno_failure(const std::string& what) {
    return {what + ": " + std::strerror(errno)};
}

/// The kernel would take a '%d' in the name as "any free number" and '/' cannot be a file name in sysfs.
bool is_device_name(const std::string& name) {
    return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
           std::ranges::none_of(name, [](unsigned char c) { return c <= ' ' || c == '/' || c == '%' || c == ':'; });
}

struct Attached {
    int fd = -1;
    std::string name;
};

/// Opens the TAP device of that name; makes one if there is none.
OrFailure<Attached> attach(const std::string& name) {
    if (!is_device_name(name)) return Failure{"twin \"" + name + "\": not a name for a network device"};
    const bool existed = if_nametoindex(name.c_str()) != 0;
    const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno_failure("twin " + name + ": /dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request) == 0) return Attached{fd, name};
    const int error = errno;
    close(fd);
    if (error == EBUSY)
        return Failure{"twin " + name + ": another process holds this TAP device (is sluiced running already?)"};
    if (error == EINVAL && existed)
        return Failure{"twin " + name + ": there is a network device of this name that is not a TAP device"};
    if (error == EPERM) return Failure{"twin " + name + ": not permitted (CAP_NET_ADMIN is needed)"};
    errno = error;
    return errno_failure("twin " + name);
}

std::string setting_of6(const std::string& name, const char* setting) {
    return "/proc/sys/net/ipv6/conf/" + name + '/' + setting;
}

/// The kernel's IPv6 on a twin is that of a router's port.
///  * `forwarding` has neighbour advertisements say that they come from a router (RFC 4861, 7.2.4), has the kernel
///    answer to the routers' own addresses (ff02::2, subnet anycast), and keeps it from taking routers' advertisements,
///    unless an operator sets accept_ra to 2. The kernel itself forwards only where conf.all.forwarding is set, too,
///    and never past the guard.
///  * Addresses are in force at once and stay when the twin is down, as those of IPv4: a box that restarts need not
///  wait
///    seconds for the answers to its own questions.
MaybeFailure set_ipv6(const std::string& name, bool on) {
    const std::string off = setting_of6(name, "disable_ipv6");
    std::ofstream(off) << (on ? 0 : 1);
    if (!on) return std::nullopt;
    int disabled = 1;
    std::ifstream(off) >> disabled;
    if (disabled != 0) return Failure{"twin " + name + ": the kernel has no IPv6 there (" + off + ')'};
    std::ofstream(setting_of6(name, "accept_dad")) << 0;
    std::ofstream(setting_of6(name, "keep_addr_on_down")) << 1;
    std::ofstream(setting_of6(name, "forwarding")) << 1;
    return std::nullopt;
}

}  // namespace

/// The reading end. A wait in progress holds a reference, so that it finds `closed` when the twin has gone.
struct Twin::Reader : std::enable_shared_from_this<Twin::Reader> {
    Reader(boost::asio::io_context& io, int fd, TwinCounters& twin_counters)
        : stream(io, fd), counters(twin_counters), buffer(kMaxFrameBytes) {}

    void wait() {
        stream.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                              if (!error && !self->closed) self->read_some();
                          });
    }

    void read_some() {
        for (unsigned n = 0; n < kFramesPerWakeUp; ++n) {
            const ssize_t got = ::read(stream.native_handle(), buffer.data(), buffer.size());
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) break;
            if (got < 0) {  // EBADFD: the device was deleted
                const Failure why = errno_failure("twin " + name + ": the TAP device is gone");
                return on_lost(why);
            }
            ++counters.frames_from_kernel;
            counters.bytes_from_kernel += static_cast<std::uint64_t>(got);
            on_frame(std::span<const std::byte>(buffer.data(), static_cast<std::size_t>(got)));
            if (closed) return;  // the handler let go of the twin
        }
        wait();
    }

    boost::asio::posix::stream_descriptor stream;
    TwinCounters& counters;  ///< not touched once closed
    std::vector<std::byte> buffer;
    std::string name;
    FrameHandler on_frame;
    LostHandler on_lost;
    bool closed = false;
};

Twin::Twin(boost::asio::io_context& io, KernelRequests& requests, std::string name, IfIndex ifindex, int fd)
    : requests_(requests),
      name_(std::move(name)),
      ifindex_(ifindex),
      reader_(std::make_shared<Reader>(io, fd, counters_)) {
    reader_->name = name_;
}

Twin::~Twin() {
    reader_->closed = true;
    boost::system::error_code ignored;
    reader_->stream.close(ignored);
}

OrFailure<std::unique_ptr<Twin>> Twin::create(boost::asio::io_context& io, KernelRequests& requests,
                                              const TwinSpec& spec) {
    // In-process devices have none; the kernel would call it an address that it cannot assign.
    if (spec.mac.is_zero() || spec.mac.is_group())
        return Failure{"twin " + spec.name +
                       ": the device of its port has no MAC address of its own: give the port one, "
                       "for example mac: \"02:00:00:00:00:01\""};
    auto attached = attach(spec.name);
    if (auto* failure = std::get_if<Failure>(&attached)) return std::move(*failure);
    const int fd = std::get<Attached>(attached).fd;
    const auto ifindex = static_cast<IfIndex>(if_nametoindex(spec.name.c_str()));
    std::unique_ptr<Twin> twin{new Twin(io, requests, spec.name, ifindex, fd)};

    // No offloads: without a virtio header there is nobody to finish a checksum or cut a segment. The device may have
    // been used with them before.
    if (ioctl(fd, TUNSETOFFLOAD, 0UL) != 0) return errno_failure("twin " + spec.name + ": TUNSETOFFLOAD");
    // When an address of ours goes, the others of its network must stay: they may be the operator's.
    std::ofstream("/proc/sys/net/ipv4/conf/" + spec.name + "/promote_secondaries") << 1;
    // The MTU first: below kLeastIpv6Mtu, as an earlier run may have left it, there is nothing of IPv6 to be set.
    if (auto failure = requests.change_link(ifindex, {.mac = spec.mac, .mtu_bytes = spec.mtu_bytes})) return *failure;
    twin->ipv6_ = spec.ipv6;
    if (auto failure = twin->renew_ipv6()) return *failure;
    if (auto failure = requests.change_link(ifindex, {.up = true})) return *failure;
    if (auto failure = twin->set_carrier(true)) return *failure;
    auto failures = twin->set_addresses(spec.addresses);
    if (!failures.empty()) return failures.front();
    // Last, so that a twin that was not finished goes with its descriptor.
    if (ioctl(fd, TUNSETPERSIST, 1UL) != 0) return errno_failure("twin " + spec.name + ": TUNSETPERSIST");
    return twin;
}

MaybeFailure Twin::remove(const std::string& name) {
    if (if_nametoindex(name.c_str()) == 0) return std::nullopt;
    auto attached = attach(name);
    if (auto* failure = std::get_if<Failure>(&attached)) return std::move(*failure);
    const int fd = std::get<Attached>(attached).fd;
    MaybeFailure result;
    if (ioctl(fd, TUNSETPERSIST, 0UL) != 0) result = errno_failure("twin " + name + ": TUNSETPERSIST");
    close(fd);
    return result;
}

MaybeFailure Twin::remove_on_close() {
    if (ioctl(reader_->stream.native_handle(), TUNSETPERSIST, 0UL) == 0) return std::nullopt;
    return errno_failure("twin " + name_ + ": TUNSETPERSIST");
}

void Twin::start(FrameHandler on_frame, LostHandler on_lost) {
    reader_->on_frame = std::move(on_frame);
    reader_->on_lost = std::move(on_lost);
    reader_->wait();
}

bool Twin::write(std::span<const std::byte> frame) {
    ssize_t sent = -1;
    do sent = ::write(reader_->stream.native_handle(), frame.data(), frame.size());
    while (sent < 0 && errno == EINTR);
    if (sent != static_cast<ssize_t>(frame.size())) {
        ++counters_.refused_by_kernel;
        return false;
    }
    ++counters_.frames_to_kernel;
    counters_.bytes_to_kernel += frame.size();
    return true;
}

MaybeFailure Twin::set_carrier(bool on) {
    unsigned int carrier = on ? 1 : 0;
    if (ioctl(reader_->stream.native_handle(), TUNSETCARRIER, &carrier) == 0) return std::nullopt;
    return errno_failure("twin " + name_ + ": carrier");
}

MaybeFailure Twin::set_mtu(std::uint32_t mtu_bytes) {
    return requests_.change_link(ifindex_, {.mtu_bytes = mtu_bytes});
}

MaybeFailure Twin::renew_ipv6() {
    return set_ipv6(name_, ipv6_);
}

MaybeFailure Twin::set_mac(const MacAddress& mac) {
    return requests_.change_link(ifindex_, {.mac = mac});
}

std::vector<Failure> Twin::set_addresses(std::span<const IpPrefix> wanted) {
    std::vector<Failure> failures;
    auto found = requests_.addresses(ifindex_);
    if (auto* failure = std::get_if<Failure>(&found)) return {std::move(*failure)};
    std::vector<IpPrefix> still_own;
    for (const AddressInfo& address : std::get<std::vector<AddressInfo>>(found)) {
        const bool own = address.protocol == kOwnProtocol ||
                         std::ranges::find(own_addresses_, address.prefix) != own_addresses_.end();
        if (!own) continue;
        if (std::ranges::find(wanted, address.prefix) != wanted.end()) {
            still_own.push_back(address.prefix);
        } else if (auto failure = requests_.del_address(ifindex_, address.prefix)) {
            failures.push_back(std::move(*failure));
            still_own.push_back(address.prefix);
        }
    }
    own_addresses_ = std::move(still_own);
    const auto& present = std::get<std::vector<AddressInfo>>(found);
    for (const IpPrefix& prefix : wanted) {
        if (std::ranges::any_of(present, [&](const AddressInfo& a) { return a.prefix == prefix; })) continue;
        if (auto failure = requests_.add_address(ifindex_, prefix))
            failures.push_back(std::move(*failure));
        else
            own_addresses_.push_back(prefix);
    }
    return failures;
}

}  // namespace sluice
