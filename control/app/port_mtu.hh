// The MTU with which a port forwards: whatever its device, the operator (on the twin) and the kernel (on the interface
// behind an AF_XDP or AF_PACKET device) allow, the smallest of them. An interface that is narrower than sluice believes
// swallows what is larger without a word, and nobody is told to send less.
//
// Owner: control thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::app {

struct PortMtu {
    std::uint16_t at_start = 0;   ///< what the device was set up for; buffers are no larger
    std::uint32_t twin = 0;       ///< now; 0: not known yet
    std::uint32_t interface = 0;  ///< now; 0: there is none, or it is gone

    [[nodiscard]] std::uint16_t in_force() const noexcept {
        std::uint32_t mtu = at_start;
        for (const std::uint32_t other : {twin, interface})
            if (other != 0) mtu = std::min(mtu, other);
        return static_cast<std::uint16_t>(mtu);
    }
};

}  // namespace sluice::app
