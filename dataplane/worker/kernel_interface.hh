// The few things that must be asked of, or told to, a kernel interface that a device sits on (AF_XDP, AF_PACKET, pcap):
// DPDK's drivers for those report neither its MTU nor its carrier, and do not set it up.
//
// Control thread. Failure: an absent interface reads as down and MTU 0.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

/// The kernel's number of it; 0: there is none. One that is deleted and made anew has another.
unsigned interface_index(const std::string& name);
/// IP bytes; 0 when unknown.
std::uint16_t interface_mtu(const std::string& name);
/// Receive queues in use, and the word by which `ethtool -L` sets their number.
struct ReceiveQueues {
    unsigned count = 0;  ///< 0: the driver does not say
    const char* word = "combined";
};
ReceiveQueues interface_receive_queues(const std::string& name);
/// Set up and carrier present.
bool interface_running(const std::string& name);
/// False when the kernel refuses (errno says why). An interface that is up already is left alone.
bool set_interface_up(const std::string& name);

/// The right to use an interface, from the constructor to the destructor or the end of the process, whatever its end.
/// A second AF_XDP user does not merely fail: DPDK's driver then takes the program off the interface, and the first
/// receives nothing any more. So it is asked before the driver is. The lock is an abstract UNIX socket, which lives in
/// the network namespace, as the interface does. Throws std::system_error: EADDRINUSE when somebody has it.
class InterfaceClaim {
public:
    explicit InterfaceClaim(const std::string& name);
    ~InterfaceClaim();
    InterfaceClaim(const InterfaceClaim&) = delete;
    InterfaceClaim& operator=(const InterfaceClaim&) = delete;

private:
    int fd_;
};

}  // namespace sluice
