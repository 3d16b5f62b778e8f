// The kernel's links, IPv4 addresses, routes and neighbours, as they change. Subscribes first, then dumps, so that
// nothing falls between; keeps a mirror, so that what vanished unseen can be withdrawn.
//
// Life cycle: start() → resync (dump of everything) → changes → …; a message lost by the kernel (ENOBUFS) or a dump
// that changed under way (NLM_F_DUMP_INTR) makes a resync. What the kernel flushes without telling anybody (routes of
// a link that went down or of an address that left, routes through a deleted next-hop object) makes a dump of the
// routes alone.
// Owner: the control thread. Bounded: at most kReadsPerWakeUp messages of the socket, or kSweepPerWakeUp entries of a
// sweep, then the io_context gets its turn.
// Failure policy: counted and repaired by dumping again; only a socket that cannot be opened is a Failure.
#pragma once

#include <cstdint>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "control/linux/kernel.hh"
#include "control/linux/requests.hh"

namespace sluice {

struct NetlinkOptions {
    int receive_buffer_bytes = 8 << 20;  ///< of the socket; more than net.core.rmem_max when the process may
};

struct NetlinkCounters {
    std::uint64_t messages = 0;
    std::uint64_t overruns = 0;           ///< the kernel lost messages for us (ENOBUFS)
    std::uint64_t resyncs = 0;            ///< dumps of everything, the first included
    std::uint64_t route_dumps = 0;        ///< dumps of routes alone
    std::uint64_t interrupted_dumps = 0;  ///< tables that changed while they were dumped: dumped again
    std::uint64_t malformed = 0;          ///< messages that made no sense; never seen
};

/// How many things of each kind the mirror holds.
struct NetlinkSizes {
    std::size_t links = 0;
    std::size_t addresses = 0;
    std::size_t routes = 0;
    std::size_t neighbours = 0;
};

class Netlink {
public:
    static constexpr unsigned kReadsPerWakeUp = 4;
    static constexpr unsigned kSweepPerWakeUp = 1024;

    /// `observer` and `requests` must outlive it.
    static OrFailure<std::unique_ptr<Netlink>> open(boost::asio::io_context& io, KernelObserver& observer,
                                                    RtnlRequests& requests, const NetlinkOptions& options = {});
    ~Netlink();
    Netlink(const Netlink&) = delete;
    Netlink& operator=(const Netlink&) = delete;

    /// Begins with the first resync; everything comes by the io_context's handlers, nothing within this call.
    void start();
    [[nodiscard]] const NetlinkCounters& counters() const;
    [[nodiscard]] NetlinkSizes sizes() const;

private:
    class Impl;
    explicit Netlink(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;  ///< also held by the wait in progress
};

}  // namespace sluice
