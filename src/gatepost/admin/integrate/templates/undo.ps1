# Takes back what connect.ps1 made, rules before the connectors they use.  May be run again.
[CmdletBinding(SupportsShouldProcess)]
param()
$ErrorActionPreference = 'Stop'

function Drop([string] $Kind, [string] $Name) {
    $there = & "Get-$Kind" -ErrorAction SilentlyContinue | Where-Object Name -eq $Name
    if ($there -and $PSCmdlet.ShouldProcess($Name, "remove $Kind")) {
        & "Remove-$Kind" -Identity $Name -Confirm:$false
    }
}

Drop 'TransportRule' @in@
Drop 'TransportRule' @out@
Drop 'TransportRule' @strip@
Drop 'OutboundConnector' @to@
Drop 'InboundConnector' @from@
Write-Output 'Exchange Online works without Gatepost'
