# Exchange Online and Gatepost at @host@.  May be run again.  -WhatIf shows, changes nothing.
#   Connect-ExchangeOnline; ./connect.ps1 -GatewayAddresses 192.0.2.25 -WhatIf
[CmdletBinding(SupportsShouldProcess)]
param(
    # The public addresses from which the gateway hands mail to Exchange.
    [Parameter(Mandatory)] [string[]] $GatewayAddresses
)
$ErrorActionPreference = 'Stop'

function Ensure([string] $Kind, [string] $Name, [hashtable] $Settings) {
    $there = & "Get-$Kind" -ErrorAction SilentlyContinue | Where-Object Name -eq $Name
    if (-not $PSCmdlet.ShouldProcess($Name, "set $Kind")) { return }
    if ($there) { & "Set-$Kind" -Identity $Name @Settings -Confirm:$false }
    else { & "New-$Kind" -Name $Name @Settings }
}

# Our own domains must be accepted ones, or nothing the gateway returns belongs to this tenant.
$accepted = (Get-AcceptedDomain).DomainName
foreach ($domain in @(@domains@)) {
    if ($accepted -notcontains $domain) { throw "$domain is no accepted domain of this tenant" }
}

# To the gateway: TLS with its name in a certificate Exchange trusts, and only by our rules.
Ensure 'OutboundConnector' @to@ @{
    ConnectorType = 'Partner'
    SmartHosts = @(@host@)
    UseMXRecord = $false
    TlsSettings = 'DomainValidation'
    TlsDomain = @host@
    IsTransportRuleScoped = $true
    Enabled = $true
}

# From the gateway: known by its certificate.  The name must be in an accepted domain.
Ensure 'InboundConnector' @from@ @{
    ConnectorType = 'OnPremises'
    SenderDomains = @('*')
    RequireTls = $true
    TlsSenderCertificateName = @host@
    # SPF and DMARC look at the server before the gateway.
    EFSkipLastIP = $true
    Enabled = $true
}

# Nobody but the gateway may set the mark that keeps mail from it.
Ensure 'TransportRule' @strip@ @{
    HeaderMatchesMessageHeader = @field@
    HeaderMatchesPatterns = '.'
    ExceptIfSenderIpRanges = $GatewayAddresses
    RemoveHeader = @field@
    Priority = 0
}

Ensure 'TransportRule' @out@ @{
    FromScope = 'InOrganization'
    SentToScope = 'NotInOrganization'
    ExceptIfHeaderMatchesMessageHeader = @field@
    ExceptIfHeaderMatchesPatterns = '.'
    RouteMessageOutboundConnector = @to@
    Priority = 1
}

@arriving@
Write-Output 'Exchange Online uses Gatepost; undo.ps1 takes it back'
