#include "control/linux/kernel.hh"

namespace sluice {

std::string to_string(const IpPrefix& prefix) {
    return to_string(prefix.address) + '/' + std::to_string(prefix.length);
}

}  // namespace sluice
