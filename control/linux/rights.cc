#include "control/linux/rights.hh"

#include <array>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice {

std::uint64_t effective_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) return ~std::uint64_t{0};
    return std::uint64_t{data[1].effective} << 32 | data[0].effective;
}

MaybeFailure missing_rights(std::uint64_t effective) {
    if ((effective >> CAP_NET_ADMIN & 1) != 0) return std::nullopt;
    return Failure{
        "not permitted to set up the network (CAP_NET_ADMIN is needed): run as root or with the capabilities that "
        "conf/sluiced.service lists"};
}

}  // namespace sluice
